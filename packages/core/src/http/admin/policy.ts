import { Hono } from "hono";
import { z } from "zod";
import { labelOfAdminKey } from "../../use-cases/authentication/authenticate.ts";
import type { ManagedPolicy } from "../../use-cases/policy/manage-policy.ts";
import { POLICY_BODY_BYTES } from "../request/body.ts";
import type { AdminEnv } from "../request/hono-env.ts";
import type { UseCases } from "../request/use-cases.ts";
import { presentedKey } from "../request/presented-key.ts";
import { appOf, readBody, sendJson, sendMistakes, sendResult, type AdminContext } from "./responses.ts";

const version = z.number().int().min(0);
const BODIES = {
  diff: z.strictObject({ text: z.string() }),
  apply: z.strictObject({
    text: z.string(),
    expectedVersion: version.optional(),
    // Terminals and pages show it next to the label of the admin key.
    by: z
      .string()
      .regex(/^[^\p{C}\p{Zl}\p{Zp}]{1,128}$/u, "expected 1 to 128 printable characters")
      .optional(),
  }),
  test: z.strictObject({ caller: z.string(), callee: z.string(), scope: z.string().optional() }),
};

/**
 * Which service can call which, below `/apps/:app/policy`. A policy is `text` in YAML or JSON. If it is invalid, the
 * response has `mistakes` with lines and columns.
 *
 * | | |
 * |---|---|
 * | `GET /` | the current policy; `null` before the first is applied |
 * | `PUT /` | `{ text, expectedVersion?, by? }`: replaces the policy |
 * | `POST /diff` | `{ text }`: what applying it would change |
 * | `GET /versions`, `GET /versions/:version` | applied versions, with time and author; one of them |
 * | `POST /test` | `{ caller, callee, scope? }`: whether the call is allowed, and why |
 * | `GET /report` | calls allowed only because the called service is report-only |
 */
export function policyRoutes({ managePolicy }: UseCases): Hono<AdminEnv> {
  const policy = new Hono<AdminEnv>();
  policy.get("/", (c) => sendJson(c, { policy: managePolicy.current(appOf(c)) ?? null }));
  policy.put("/", async (c) => {
    const body = await readBody(c, BODIES.apply, POLICY_BODY_BYTES);
    if (body instanceof Response) return body;
    const { text, expectedVersion, by } = body;
    // The label comes first, so that `by` cannot imitate another admin key.
    const appliedBy = [labelOfAdminKey(presentedKey(c.env)!), ...(by === undefined ? [] : [by])].join(": ");
    return sendPolicyResult(c, "applied", await managePolicy.apply(appOf(c), { text, expectedVersion, appliedBy }));
  });
  policy.post("/diff", async (c) => {
    const body = await readBody(c, BODIES.diff, POLICY_BODY_BYTES);
    if (body instanceof Response) return body;
    return sendPolicyResult(c, "diff", await managePolicy.diff(appOf(c), body.text));
  });
  policy.get("/versions", async (c) => sendJson(c, { versions: await managePolicy.versions(appOf(c)) }));
  policy.get("/versions/:version", async (c) => {
    const number = /^[1-9]\d{0,14}$/.exec(c.req.param("version"))?.[0];
    return sendResult(c, "policy", await managePolicy.version(appOf(c), Number(number ?? 0)));
  });
  policy.post("/test", async (c) => {
    const body = await readBody(c, BODIES.test);
    if (body instanceof Response) return body;
    return sendResult(c, "test", managePolicy.test(appOf(c), body.caller, body.callee, body.scope));
  });
  policy.get("/report", async (c) => sendJson(c, { calls: await managePolicy.report(appOf(c)) }));
  return policy;
}

function sendPolicyResult<T>(c: AdminContext, name: string, managed: ManagedPolicy<T>): Response {
  if (managed.ok || !("mistakes" in managed)) return sendResult(c, name, managed);
  return sendMistakes(c, managed.problem, managed.mistakes);
}
