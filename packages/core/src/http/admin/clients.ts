import { Hono } from "hono";
import { z } from "zod";
import type { AdminEnv } from "../request/hono-env.ts";
import type { UseCases } from "../request/use-cases.ts";
import { appOf, readBody, sendJson, sendResult } from "./responses.ts";

const keySet = z.record(z.string(), z.unknown()).transform((jwks) => JSON.stringify(jwks));
const BODIES = {
  setKeys: z.strictObject({ jwks: keySet }),
  trust: z.strictObject({
    service: z.string(),
    issuer: z.string(),
    subject: z.string(),
    audience: z.string(),
    jwks: keySet.nullable().default(null),
  }),
};

/**
 * How services authenticate without a secret, below `/apps/:app`.
 *
 * | | |
 * |---|---|
 * | `GET /services/:service/keys` | the public keys that verify its assertions |
 * | `PUT /services/:service/keys` | `{ jwks }`: replaces them |
 * | `GET /trusts` | trusted workload identities |
 * | `POST /trusts` | `{ service, issuer, subject, audience, jwks? }` |
 * | `POST /trusts/:id/delete` | |
 */
export function clientRoutes({ manageClients }: UseCases): Hono<AdminEnv> {
  const routes = new Hono<AdminEnv>();
  routes.get("/services/:service/keys", (c) =>
    sendResult(c, "keys", manageClients.keysOf(appOf(c), c.req.param("service"))),
  );
  routes.put("/services/:service/keys", async (c) => {
    const body = await readBody(c, BODIES.setKeys);
    if (body instanceof Response) return body;
    return sendResult(c, "keys", await manageClients.setKeys(appOf(c), c.req.param("service"), body.jwks));
  });
  routes.get("/trusts", (c) => sendJson(c, { trusts: manageClients.trusts(appOf(c)) }));
  routes.post("/trusts", async (c) => {
    const body = await readBody(c, BODIES.trust);
    if (body instanceof Response) return body;
    return sendResult(c, "trust", await manageClients.trust(appOf(c), body));
  });
  routes.post("/trusts/:id/delete", async (c) =>
    sendResult(c, "trust", await manageClients.untrust(appOf(c), c.req.param("id"))),
  );
  return routes;
}
