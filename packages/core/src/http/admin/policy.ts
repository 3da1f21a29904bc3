import { Hono, type Context } from "hono";
import { z } from "zod";
import { labelOfAdminKey } from "../../use-cases/authentication/authenticate.ts";
import type { ManagedPolicy } from "../../use-cases/policy/manage-policy.ts";
import { POLICY_BODY_BYTES } from "../request/body.ts";
import type { Env, UseCases } from "../request/use-cases.ts";
import { answerJson, refuseMistakes } from "../request/responses.ts";
import { presentedKey } from "../request/presented-key.ts";
import { answer, appOf, readBody } from "./responses.ts";

const version = z.number().int().min(0);
const BODIES = {
  diff: z.strictObject({ text: z.string() }),
  apply: z.strictObject({
    text: z.string(),
    expectedVersion: version.optional(),
    // On terminals and pages it is shown beside what the core knows by itself.
    by: z
      .string()
      .regex(/^[^\p{C}\p{Zl}\p{Zp}]{1,128}$/u, "1 to 128 characters of text were expected")
      .optional(),
  }),
  test: z.strictObject({ caller: z.string(), callee: z.string(), scope: z.string().optional() }),
};

/**
 * Who may call whom in an app. A policy is given as `text`, in YAML or JSON; where it is wrong, the answer has `mistakes`
 * with lines and columns.
 *
 * | | |
 * |---|---|
 * | `GET /` | the policy in force; `null`: none has been applied |
 * | `PUT /` | `{ text, expectedVersion?, by? }` applies one, whole |
 * | `POST /diff` | `{ text }`: what applying it would change |
 * | `GET /versions`, `GET /versions/:version` | all that were applied, by whom and when; one of them |
 * | `POST /test` | `{ caller, callee, scope? }`: whether it is allowed, and why |
 * | `GET /report` | what report-only callees would have refused |
 */
export function policyRoutes({ managePolicy }: UseCases): Hono<Env> {
  const policy = new Hono<Env>();
  policy.get("/", (c) => answerJson(c, { policy: managePolicy.current(appOf(c)) ?? null }));
  policy.put("/", async (c) => {
    const body = await readBody(c, BODIES.apply, POLICY_BODY_BYTES);
    if (body instanceof Response) return body;
    const { text, expectedVersion, by } = body;
    // What the core knows comes first, so that nobody passes for another one by what he says.
    const appliedBy = [labelOfAdminKey(presentedKey(c)!), ...(by === undefined ? [] : [by])].join(": ");
    return answerText(c, "applied", await managePolicy.apply(appOf(c), { text, expectedVersion, appliedBy }));
  });
  policy.post("/diff", async (c) => {
    const body = await readBody(c, BODIES.diff, POLICY_BODY_BYTES);
    if (body instanceof Response) return body;
    return answerText(c, "diff", await managePolicy.diff(appOf(c), body.text));
  });
  policy.get("/versions", async (c) => answerJson(c, { versions: await managePolicy.versions(appOf(c)) }));
  policy.get("/versions/:version", async (c) => {
    const number = /^[1-9]\d{0,14}$/.exec(c.req.param("version"))?.[0];
    return answer(c, "policy", await managePolicy.version(appOf(c), Number(number ?? 0)));
  });
  policy.post("/test", async (c) => {
    const body = await readBody(c, BODIES.test);
    if (body instanceof Response) return body;
    return answer(c, "test", managePolicy.test(appOf(c), body.caller, body.callee, body.scope));
  });
  policy.get("/report", async (c) => answerJson(c, { calls: await managePolicy.report(appOf(c)) }));
  return policy;
}

function answerText<T>(c: Context<Env>, name: string, managed: ManagedPolicy<T>): Response {
  if (managed.ok || !("mistakes" in managed)) return answer(c, name, managed);
  return refuseMistakes(c, managed.problem, managed.mistakes);
}
