import { Hono } from "hono";
import { LIMITS } from "countersign/protocol";
import { z } from "zod";
import type { AdminEnv } from "../request/hono-env.ts";
import type { UseCases } from "../request/use-cases.ts";
import { appOf, readBody, sendJson, sendResult } from "./responses.ts";

const BODIES = {
  token: z.union([
    z.strictObject({ token: z.string() }),
    z.strictObject({ jti: z.string(), expiresAt: z.number().int().min(0).max(LIMITS.numericDate).optional() }),
  ]),
  service: z.strictObject({ service: z.string() }),
};

/**
 * The revocations of an app, below `/apps/:app/revocations`.
 *
 * | | |
 * |---|---|
 * | `GET /` | what verifiers reject |
 * | `POST /tokens` | `{ token }` or `{ jti, expiresAt? }` |
 * | `POST /services` | `{ service }` |
 */
export function revocationRoutes({ state, revoke }: UseCases): Hono<AdminEnv> {
  const routes = new Hono<AdminEnv>();
  routes.get("/", (c) => sendJson(c, state.feedOf(appOf(c))!.claims));
  routes.post("/tokens", async (c) => {
    const body = await readBody(c, BODIES.token);
    if (body instanceof Response) return body;
    const which = "token" in body ? body : { jti: body.jti, expiresAt: body.expiresAt };
    return sendResult(c, "token", await revoke.token(appOf(c), which));
  });
  routes.post("/services", async (c) => {
    const body = await readBody(c, BODIES.service);
    if (body instanceof Response) return body;
    return sendResult(c, "service", await revoke.service(appOf(c), body.service));
  });
  return routes;
}
