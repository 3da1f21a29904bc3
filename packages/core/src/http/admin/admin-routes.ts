import { Hono } from "hono";
import type { AdminEnv } from "../request/hono-env.ts";
import type { HttpContext } from "../request/http-context.ts";
import type { CoreResponse } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { clientRoutes } from "./clients.ts";
import { keyRoutes } from "./keys.ts";
import { policyRoutes } from "./policy.ts";
import { adminError, send, sendJson, sendResult } from "./responses.ts";
import { revocationRoutes } from "./revocations.ts";
import { serviceRoutes } from "./services.ts";

export const ADMIN_BASE = "/admin/v1";

const UNAUTHORIZED = adminError(401, "unauthorized", "This requires an admin key, sent as 'Authorization: Bearer KEY'");
const NO_RESOURCE = adminError(404, "not_found", "resource not found");

/**
 * Returns the handler of the admin API, which accepts admin keys only. Hono routes its paths, as they have parameters;
 * its handlers read the request from `c.env`, so the `Request` has a method and a URL only.
 */
export function adminHandler(useCases: UseCases): (c: HttpContext) => Promise<CoreResponse> {
  const routes = adminRoutes(useCases);
  return async (c) => {
    if (c.principal?.type !== "admin-key") return UNAUTHORIZED;
    if (c.method === "TRACE") return NO_RESOURCE; // a Request cannot have this method
    // The host omits the body of a response to HEAD.
    const method = c.method === "HEAD" ? "GET" : c.method;
    const response = await routes.fetch(new Request(`http://core.invalid${c.path.route}`, { method }), c);
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
  };
}

/**
 * | | |
 * |---|---|
 * | `GET /status` | version, epoch, generation, number of apps |
 * | `GET /backup` | all data in the store; private keys remain encrypted |
 * | `POST /reseal` | encrypts every private key with the current master key |
 * | `GET /apps` | apps and their signing algorithms |
 * | `/apps/:app/{algorithms,keys}` | see `keyRoutes` |
 * | `/apps/:app/revocations` | see `revocationRoutes` |
 * | `/apps/:app/services` | see `serviceRoutes` |
 * | `/apps/:app/policy` | see `policyRoutes` |
 * | `/apps/:app/services/:service/keys`, `/apps/:app/trusts` | see `clientRoutes` |
 */
function adminRoutes(useCases: UseCases): Hono<AdminEnv> {
  const { state, resealKeys, takeBackup, version } = useCases;
  // Without Hono's own decoding: the dispatcher has authenticated this path.
  const admin = new Hono<AdminEnv>({ getPath: ({ url }) => new URL(url).pathname }).basePath(ADMIN_BASE);
  admin.get("/status", (c) => {
    const { epoch, generation } = state;
    return sendJson(c, { version, epoch, generation, apps: state.appIds().length });
  });
  admin.get("/backup", async (c) => sendJson(c, await takeBackup()));
  admin.post("/reseal", async (c) => sendResult(c, "reseal", await resealKeys()));
  admin.get("/apps", (c) => {
    const apps = state.appIds().map((appId) => ({ appId, algorithms: state.rotationPolicyOf(appId).algorithms }));
    return sendJson(c, { apps });
  });
  admin.use("/apps/:app/*", async (c, next) =>
    state.hasApp(c.req.param("app")) ? next() : send(c, adminError(404, "not_found", "app not found")),
  );
  admin.route("/apps/:app", keyRoutes(useCases));
  admin.route("/apps/:app/revocations", revocationRoutes(useCases));
  admin.route("/apps/:app/services", serviceRoutes(useCases));
  admin.route("/apps/:app/policy", policyRoutes(useCases));
  admin.route("/apps/:app", clientRoutes(useCases));
  admin.all("*", (c) => send(c, NO_RESOURCE));
  admin.onError((error) => {
    throw error; // the dispatcher maps and logs it
  });
  return admin;
}
