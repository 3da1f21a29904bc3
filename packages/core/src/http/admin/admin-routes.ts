import { Hono } from "hono";
import { ALGORITHMS, LIMITS } from "countersign/protocol";
import { z } from "zod";
import type { Env, UseCases } from "../request/use-cases.ts";
import { answerJson, refuseAdmin } from "../request/responses.ts";
import { answer, appOf, readBody } from "./responses.ts";
import { policyRoutes } from "./policy.ts";
import { clientRoutes } from "./clients.ts";
import { serviceRoutes } from "./services.ts";

export const ADMIN_BASE = "/admin/v1";

const algorithm = z.enum(ALGORITHMS as ["RS256", "ES256", "Ed25519"]);
const date = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

const BODIES = {
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
  algorithms: z.strictObject({ algorithms: z.array(algorithm).nonempty().nullable() }),
  token: z.union([
    z.strictObject({ token: z.string() }),
    z.strictObject({ jti: z.string(), expiresAt: z.number().int().min(0).max(LIMITS.numericDate).optional() }),
  ]),
  service: z.strictObject({ service: z.string() }),
};

/**
 * Administration, for admin keys only: what API keys can do ends at the driver interface.
 *
 * | | |
 * |---|---|
 * | `GET /status` | version, epoch, generation, number of apps |
 * | `GET /backup` | everything of the store in one document, keys still sealed |
 * | `POST /reseal` | seals every key under the current master key |
 * | `GET /apps` | apps and what they sign with |
 * | `PUT /apps/:app/algorithms` | `{ algorithms: [..] or null }` |
 * | `GET /apps/:app/keys` | keys with their dates and states |
 * | `GET /apps/:app/keys/public` | the full public key set |
 * | `POST /apps/:app/keys/rotate` | `{ kind?, algorithm?, keepUntil? }` |
 * | `POST /apps/:app/keys/import` | `{ kid, key, signs?, verifiesUntil? }` |
 * | `POST /apps/:app/keys/:kid/revoke` | |
 * | `GET /apps/:app/revocations` | what verifiers refuse |
 * | `POST /apps/:app/revocations/tokens` | `{ token }` or `{ jti, expiresAt? }` |
 * | `POST /apps/:app/revocations/services` | `{ service }` |
 * | `/apps/:app/services` | see `serviceRoutes` |
 * | `/apps/:app/policy` | see `policyRoutes` |
 * | `/apps/:app/services/:service/keys`, `/apps/:app/trusts` | see `clientRoutes` |
 */
export function adminRoutes(services: UseCases): Hono<Env> {
  const { state, manageApps, manageKeys, revoke, resealKeys, takeBackup, version } = services;
  const admin = new Hono<Env>();
  admin.use(async (c, next) => {
    if (c.get("principal")?.type !== "admin-key") {
      return refuseAdmin(c, 401, "unauthorized", "This needs an admin key, sent as 'Authorization: Bearer KEY'");
    }
    return next();
  });
  admin.get("/status", (c) => {
    const { epoch, generation } = state;
    return answerJson(c, { version, epoch, generation, apps: state.appIds().length });
  });
  admin.get("/backup", async (c) => answerJson(c, await takeBackup()));
  admin.post("/reseal", async (c) => answer(c, "reseal", await resealKeys()));
  admin.get("/apps", (c) =>
    answerJson(c, {
      apps: state.appIds().map((appId) => ({ appId, algorithms: state.rotationPolicyOf(appId).algorithms })),
    }),
  );

  const app = new Hono<Env>();
  admin.use("/apps/:app/*", async (c, next) =>
    state.hasApp(c.req.param("app")) ? next() : refuseAdmin(c, 404, "not_found", "There is no such app"),
  );
  app.put("/algorithms", async (c) => {
    const body = await readBody(c, BODIES.algorithms);
    if (body instanceof Response) return body;
    return answer(c, "algorithms", await manageApps.setAlgorithms(appOf(c), body.algorithms));
  });
  app.get("/keys", (c) => answerJson(c, { keys: manageKeys.list(appOf(c)) }));
  app.get("/keys/public", (c) => answerJson(c, { keys: state.publishedSets(appOf(c))!.all.keys }));
  app.post("/keys/rotate", async (c) => {
    const body = await readBody(c, BODIES.rotate);
    if (body instanceof Response) return body;
    return answer(c, "keys", await manageKeys.rotate(appOf(c), body.kind, body.algorithm, body.keepUntil));
  });
  app.post("/keys/import", async (c) => {
    const body = await readBody(c, BODIES.importKey);
    if (body instanceof Response) return body;
    return answer(c, "key", await manageKeys.importKey(appOf(c), body));
  });
  app.post("/keys/:kid/revoke", async (c) => answer(c, "key", await manageKeys.revoke(appOf(c), c.req.param("kid"))));
  app.get("/revocations", (c) => answerJson(c, state.feedOf(appOf(c))!.claims));
  app.post("/revocations/tokens", async (c) => {
    const body = await readBody(c, BODIES.token);
    if (body instanceof Response) return body;
    const which = "token" in body ? body : { jti: body.jti, expiresAt: body.expiresAt };
    return answer(c, "token", await revoke.token(appOf(c), which));
  });
  app.post("/revocations/services", async (c) => {
    const body = await readBody(c, BODIES.service);
    if (body instanceof Response) return body;
    return answer(c, "service", await revoke.service(appOf(c), body.service));
  });
  app.route("/services", serviceRoutes(services));
  app.route("/policy", policyRoutes(services));
  app.route("/", clientRoutes(services));
  admin.route("/apps/:app", app);
  admin.all("*", (c) => refuseAdmin(c, 404, "not_found", "There is no such resource"));
  return admin;
}
