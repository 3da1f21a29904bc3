import { Hono } from "hono";
import { ALGORITHMS } from "countersign/protocol";
import { z } from "zod";
import type { AdminEnv } from "../request/hono-env.ts";
import type { UseCases } from "../request/use-cases.ts";
import { appOf, readBody, sendJson, sendResult } from "./responses.ts";

const algorithm = z.enum(ALGORITHMS as ["RS256", "ES256", "Ed25519"]);
const date = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

const BODIES = {
  algorithms: z.strictObject({ algorithms: z.array(algorithm).nonempty().nullable() }),
  rotate: z.strictObject({
    kind: z.enum(["static", "dynamic"]).default("static"),
    algorithm: algorithm.default("RS256"),
    keepUntil: date.nullable().default(null),
  }),
  importKey: z.strictObject({
    kid: z.string(),
    key: z.union([z.string(), z.record(z.string(), z.unknown())]),
    signs: z.boolean().default(false),
    verifiesUntil: date.nullable().default(null),
  }),
};

/**
 * The signing keys of an app, below `/apps/:app`.
 *
 * | | |
 * |---|---|
 * | `PUT /algorithms` | `{ algorithms: [..] or null }` |
 * | `GET /keys` | keys with their dates and states |
 * | `GET /keys/public` | the full public key set |
 * | `POST /keys/rotate` | `{ kind?, algorithm?, keepUntil? }` |
 * | `POST /keys/import` | `{ kid, key, signs?, verifiesUntil? }` |
 * | `POST /keys/:kid/revoke` | |
 */
export function keyRoutes({ state, manageApps, manageKeys }: UseCases): Hono<AdminEnv> {
  const routes = new Hono<AdminEnv>();
  routes.put("/algorithms", async (c) => {
    const body = await readBody(c, BODIES.algorithms);
    if (body instanceof Response) return body;
    return sendResult(c, "algorithms", await manageApps.setAlgorithms(appOf(c), body.algorithms));
  });
  routes.get("/keys", (c) => sendJson(c, { keys: manageKeys.list(appOf(c)) }));
  routes.get("/keys/public", (c) => sendJson(c, { keys: state.publishedSets(appOf(c))!.all.keys }));
  routes.post("/keys/rotate", async (c) => {
    const body = await readBody(c, BODIES.rotate);
    if (body instanceof Response) return body;
    return sendResult(c, "keys", await manageKeys.rotate(appOf(c), body.kind, body.algorithm, body.keepUntil));
  });
  routes.post("/keys/import", async (c) => {
    const body = await readBody(c, BODIES.importKey);
    if (body instanceof Response) return body;
    return sendResult(c, "key", await manageKeys.importKey(appOf(c), body));
  });
  routes.post("/keys/:kid/revoke", async (c) =>
    sendResult(c, "key", await manageKeys.revoke(appOf(c), c.req.param("kid"))),
  );
  return routes;
}
