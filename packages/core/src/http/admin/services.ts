import { Hono } from "hono";
import { z } from "zod";
import type { AdminEnv } from "../request/hono-env.ts";
import type { UseCases } from "../request/use-cases.ts";
import { appOf, readBody, sendJson, sendResult } from "./responses.ts";

const BODIES = {
  register: z.strictObject({ name: z.string() }),
  addCredential: z.strictObject({
    expiresAt: z.iso
      .datetime({ offset: true })
      .transform((text) => Date.parse(text))
      .nullable()
      .default(null),
  }),
};

/**
 * Services and their credentials, below `/apps/:app/services`.
 *
 * | | |
 * |---|---|
 * | `GET /` | the services of the app |
 * | `POST /` | `{ name }`: registers a service |
 * | `GET /:service` | one service with its credentials |
 * | `POST /:service/disable`, `POST /:service/enable` | |
 * | `POST /:service/delete` | with its credentials; 409 while the current policy references it |
 * | `POST /:service/credentials` | `{ expiresAt? }`: creates a credential; no other response contains it |
 * | `POST /:service/credentials/:id/revoke` | |
 */
export function serviceRoutes({ manageServices }: UseCases): Hono<AdminEnv> {
  const routes = new Hono<AdminEnv>();
  routes.get("/", (c) => sendJson(c, { services: manageServices.list(appOf(c)) }));
  routes.post("/", async (c) => {
    const body = await readBody(c, BODIES.register);
    if (body instanceof Response) return body;
    return sendResult(c, "service", await manageServices.register(appOf(c), body.name));
  });
  routes.get("/:service", async (c) => {
    const [app, name] = [appOf(c), c.req.param("service")];
    const service = manageServices.find(app, name);
    if (!service.ok) return sendResult(c, "service", service);
    const credentials = await manageServices.credentialsOf(app, name);
    return credentials.ok
      ? sendJson(c, { service: service.value, credentials: credentials.value })
      : sendResult(c, "credentials", credentials);
  });
  for (const change of ["disable", "enable", "delete"] as const) {
    routes.post(`/:service/${change}`, async (c) =>
      sendResult(c, "service", await manageServices[change](appOf(c), c.req.param("service"))),
    );
  }
  routes.post("/:service/credentials", async (c) => {
    const body = await readBody(c, BODIES.addCredential);
    if (body instanceof Response) return body;
    const added = await manageServices.addCredential(appOf(c), c.req.param("service"), body.expiresAt);
    c.header("cache-control", "no-store"); // the response contains a secret
    return sendResult(c, "credential", added);
  });
  routes.post("/:service/credentials/:id/revoke", async (c) => {
    const { service, id } = c.req.param();
    return sendResult(c, "credential", await manageServices.revokeCredential(appOf(c), service, id));
  });
  return routes;
}
