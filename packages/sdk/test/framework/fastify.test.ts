import Fastify, { type FastifyInstance } from "fastify";
import type { RequestListener } from "node:http";
import { expect, test } from "vitest";
import { errorHandler, middleware, verifyMicroservice } from "../../src/framework/fastify.ts";
import { describeFramework } from "../support/framework-suite.ts";
import { listen } from "../support/http.ts";
import { instanceAt } from "../support/instances.ts";
import { edKey, tokenBy } from "../support/keys.ts";
import { serveKeys } from "../support/key-server.ts";
import { startStandInCore } from "../support/stand-in-core.ts";

async function listenerOf(app: FastifyInstance): Promise<RequestListener> {
  await app.ready();
  return (req, res) => app.routing(req, res);
}

describeFramework("Fastify", async ({ front, handlesErrors, guard, handle, own }) => {
  const app = Fastify();
  if (front !== undefined) await app.register(middleware(front));
  if (handlesErrors === true) app.setErrorHandler(errorHandler());
  if (guard !== undefined) {
    const onRequest = verifyMicroservice(guard);
    app.get("/stock", { onRequest }, async (request) => handle(request.caller));
    app.post("/stock", { onRequest }, async (request) => handle(request.caller, request.body));
  }
  app.get("/own", async () => own());
  return listenerOf(app);
});

describeFramework("Fastify, as preHandler", async ({ handlesErrors, guard, handle, own, front }) => {
  const app = Fastify();
  if (front !== undefined) await app.register(middleware(front), { prefix: "/nowhere" });
  if (handlesErrors === true) app.setErrorHandler(errorHandler());
  app.get("/own", async () => own());
  await app.register(async (inner) => {
    if (guard !== undefined) inner.addHook("preHandler", verifyMicroservice(guard));
    inner.get("/stock", async (request) => handle(request.caller));
    inner.post("/stock", async (request) => handle(request.caller, request.body));
  });
  return listenerOf(app);
});

const key = edKey();
const authorization = `Bearer ${tokenBy(key, { iat: 0, exp: 4_102_444_800 })}`;

test("a Fastify app with a guard on every route serves the endpoints that it registered before", async () => {
  const { jwksUri } = await serveKeys(key);
  const core = await startStandInCore();
  const app = Fastify();
  await app.register(middleware({ countersign: instanceAt(core.url) }));
  app.addHook("onRequest", verifyMicroservice({ jwksUri }));
  app.get("/stock", async (request) => ({ calledBy: request.caller?.service }));
  const { url } = await listen(await listenerOf(app));
  expect((await fetch(`${url}/auth/jwt/jwks.json`)).status).toBe(200);
  expect((await fetch(`${url}/stock`)).status).toBe(401);
  expect((await fetch(`${url}/nowhere`)).status).toBe(401);
  expect(await (await fetch(`${url}/stock`, { headers: { authorization } })).json()).toEqual({ calledBy: "orders" });
});

test("the guard applies to Fastify's inject like to a request over a socket", async () => {
  const { jwksUri } = await serveKeys(key);
  const app = Fastify();
  app.get("/stock", { onRequest: verifyMicroservice({ jwksUri }) }, async ({ caller }) => ({
    calledBy: caller?.service,
  }));
  expect((await app.inject("/stock")).statusCode).toBe(401);
  const answer = await app.inject({ url: "/stock", headers: { authorization } });
  expect(answer.json()).toEqual({ calledBy: "orders" });
});
