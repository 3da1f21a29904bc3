import { Hono } from "hono";
import { z } from "zod";
import type { Env, UseCases } from "../request/use-cases.ts";
import { answerJson } from "../request/responses.ts";
import { answer, appOf, readBody } from "./responses.ts";

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
 * UseCases and their credentials, below `/apps/:app/services`.
 *
 * | | |
 * |---|---|
 * | `GET /` | the services of the app |
 * | `POST /` | `{ name }`: registers one |
 * | `GET /:service` | one service with its credentials |
 * | `POST /:service/disable`, `POST /:service/enable` | |
 * | `POST /:service/delete` | with its credentials; 409 while the policy in force names it |
 * | `POST /:service/credentials` | `{ expiresAt? }`: makes one; the only answer that it is in |
 * | `POST /:service/credentials/:id/revoke` | |
 */
export function serviceRoutes({ manageServices }: UseCases): Hono<Env> {
  const routes = new Hono<Env>();
  routes.get("/", (c) => answerJson(c, { services: manageServices.list(appOf(c)) }));
  routes.post("/", async (c) => {
    const body = await readBody(c, BODIES.register);
    if (body instanceof Response) return body;
    return answer(c, "service", await manageServices.register(appOf(c), body.name));
  });
  routes.get("/:service", async (c) => {
    const [app, name] = [appOf(c), c.req.param("service")];
    const service = manageServices.find(app, name);
    if (!service.ok) return answer(c, "service", service);
    const credentials = await manageServices.credentialsOf(app, name);
    return credentials.ok
      ? answerJson(c, { service: service.value, credentials: credentials.value })
      : answer(c, "credentials", credentials);
  });
  for (const change of ["disable", "enable", "delete"] as const) {
    routes.post(`/:service/${change}`, async (c) =>
      answer(c, "service", await manageServices[change](appOf(c), c.req.param("service"))),
    );
  }
  routes.post("/:service/credentials", async (c) => {
    const body = await readBody(c, BODIES.addCredential);
    if (body instanceof Response) return body;
    const added = await manageServices.addCredential(appOf(c), c.req.param("service"), body.expiresAt);
    c.header("cache-control", "no-store"); // it is nobody else's to keep
    return answer(c, "credential", added);
  });
  routes.post("/:service/credentials/:id/revoke", async (c) => {
    const { service, id } = c.req.param();
    return answer(c, "credential", await manageServices.revokeCredential(appOf(c), service, id));
  });
  return routes;
}
