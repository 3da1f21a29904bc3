import { Hono } from "hono";
import { z } from "zod";
import type { Env, UseCases } from "../request/use-cases.ts";
import { answerJson } from "../request/responses.ts";
import { answer, appOf, readBody } from "./responses.ts";

const keySet = z.record(z.string(), z.unknown()).transform((jwks) => JSON.stringify(jwks));
const BODIES = {
  setKeys: z.strictObject({ jwks: keySet }),
  trust: z.strictObject({
    ...{ service: z.string(), issuer: z.string(), subject: z.string(), audience: z.string() },
    jwks: keySet.nullable().default(null),
  }),
};

/**
 * How services prove who they are without a secret, below `/apps/:app`.
 *
 * | | |
 * |---|---|
 * | `GET /services/:service/keys` | the public keys of its assertions |
 * | `PUT /services/:service/keys` | `{ jwks }`: in the place of those that it has |
 * | `GET /trusts` | whose word is taken for which service |
 * | `POST /trusts` | `{ service, issuer, subject, audience, jwks? }` |
 * | `POST /trusts/:id/delete` | |
 */
export function clientRoutes({ manageClients }: UseCases): Hono<Env> {
  const routes = new Hono<Env>();
  routes.get("/services/:service/keys", (c) =>
    answer(c, "keys", manageClients.keysOf(appOf(c), c.req.param("service"))),
  );
  routes.put("/services/:service/keys", async (c) => {
    const body = await readBody(c, BODIES.setKeys);
    if (body instanceof Response) return body;
    return answer(c, "keys", await manageClients.setKeys(appOf(c), c.req.param("service"), body.jwks));
  });
  routes.get("/trusts", (c) => answerJson(c, { trusts: manageClients.trusts(appOf(c)) }));
  routes.post("/trusts", async (c) => {
    const body = await readBody(c, BODIES.trust);
    if (body instanceof Response) return body;
    return answer(c, "trust", await manageClients.trust(appOf(c), body));
  });
  routes.post("/trusts/:id/delete", async (c) =>
    answer(c, "trust", await manageClients.untrust(appOf(c), c.req.param("id"))),
  );
  return routes;
}
