// Code that the compiler must reject or accept. Checked by `tsc`, never run.
import { createServer } from "node:http";
import { server as hapiServer } from "@hapi/hapi";
import express from "express";
import Fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import type { NextRequest } from "next/server.js";
import { createServer as createHttp2Server } from "node:http2";
import * as onExpress from "../../src/framework/express.ts";
import * as onFastify from "../../src/framework/fastify.ts";
import * as onHapi from "../../src/framework/hapi.ts";
import * as onHono from "../../src/framework/hono.ts";
import * as onKoa from "../../src/framework/koa.ts";
import * as onLambda from "../../src/framework/lambda.ts";
import * as onNest from "../../src/framework/nest.ts";
import * as onNode from "../../src/framework/node.ts";
import * as onWeb from "../../src/framework/web.ts";
import type { Caller } from "../../src/index.ts";

const optional = { optional: true } as const;
const name = (caller: Caller) => caller.service ?? "somebody";
const nameOrNone = (caller: Caller | undefined) => caller?.service;

/** The options are the same everywhere. */
export function options(): void {
  for (const verifyMicroservice of [
    onExpress.verifyMicroservice,
    onFastify.verifyMicroservice,
    onHapi.verifyMicroservice,
    onHono.verifyMicroservice,
    onKoa.verifyMicroservice,
    onLambda.verifyMicroservice,
    onNest.verifyMicroservice,
    onNode.verifyMicroservice,
    onWeb.verifyMicroservice,
  ]) {
    verifyMicroservice();
    verifyMicroservice({ audience: "stock", requiredClaims: { source: "microservice", tier: 1, vip: true } });
    verifyMicroservice({ audience: null, algorithms: ["ES256", "EdDSA"], optional: true });
    verifyMicroservice({ audience: "stock", scope: "stock:reserve", allow: ["orders"], reportOnly: true });
    // @ts-expect-error C8 matchers are exact values: no RegExp
    verifyMicroservice({ issuer: /core/ });
    // @ts-expect-error C8
    verifyMicroservice({ requiredClaims: { source: /microservice/ } });
    // @ts-expect-error C8 nor a function
    verifyMicroservice({ requiredClaims: { source: (value: string) => value !== "user" } });
    // @ts-expect-error C8
    verifyMicroservice({ audience: () => true });
    // @ts-expect-error T3 symmetric algorithms do not exist here
    verifyMicroservice({ algorithms: ["HS256"] });
    // @ts-expect-error a misspelled option
    verifyMicroservice({ audiense: "stock" });
    // @ts-expect-error
    verifyMicroservice({ optional: "yes" });
    // @ts-expect-error
    verifyMicroservice({ jwksUri: [{ jwksUri: "https://core.internal/.well-known/jwks.json" }] });
  }
}

export function ofExpress(): void {
  const app = express();
  app.use(onExpress.middleware(), onExpress.errorHandler());
  app.get(
    "/:item",
    onExpress.verifyMicroservice(),
    (req, res) => void res.json([nameOrNone(req.caller), req.params.item]),
  );
  app.get("/", (req) => {
    // @ts-expect-error a route cannot know that a guard ran before it
    name(req.caller);
    // @ts-expect-error its properties are read-only
    req.caller!.claims["sub"] = "admin";
  });
}

export function ofFastify(): void {
  const app = Fastify();
  void app.register(onFastify.middleware());
  app.setErrorHandler(onFastify.errorHandler());
  app.addHook("preHandler", onFastify.verifyMicroservice());
  app.get<{ Params: { item: string }; Querystring: { n: number } }>(
    "/:item",
    { onRequest: onFastify.verifyMicroservice(), preHandler: [onFastify.verifyMicroservice(optional)] },
    async (request) => [nameOrNone(request.caller), request.params.item],
  );
  app.get("/", async (request) => {
    // @ts-expect-error
    name(request.caller);
  });
  // Over HTTP/2, with its own logger.
  const overHttp2 = Fastify({ http2: true, loggerInstance: app.log });
  void overHttp2.register(onFastify.middleware());
  overHttp2.setErrorHandler(onFastify.errorHandler());
  overHttp2.get("/", { onRequest: onFastify.verifyMicroservice() }, async ({ caller }) => nameOrNone(caller));
}

export async function ofHapi(): Promise<void> {
  const server = hapiServer();
  await server.register(onHapi.middleware());
  server.ext("onPreResponse", onHapi.errorHandler());
  server.ext("onPreAuth", onHapi.verifyMicroservice());
  server.route({
    method: "GET",
    path: "/",
    options: { ext: { onPreAuth: { method: onHapi.verifyMicroservice() } } },
    handler: (request) => {
      // @ts-expect-error
      name(request.app.caller);
      return nameOrNone(request.app.caller) ?? null;
    },
  });
}

export function ofHono(): void {
  const app = new Hono<{ Bindings: { CORE: string } }>();
  app.use(onHono.middleware());
  app.onError(onHono.errorHandler());
  app.get("/:item", onHono.verifyMicroservice(), (c) => c.json([name(c.var.caller), c.req.param("item"), c.env.CORE]));
  app.get("/", onHono.verifyMicroservice(optional), (c) => {
    // @ts-expect-error caller can be undefined
    name(c.var.caller);
    return c.json(nameOrNone(c.get("caller")));
  });
  // @ts-expect-error no caller without a guard
  app.get("/open", (c) => c.json(nameOrNone(c.var.caller)));
  // @ts-expect-error
  app.get("/open", (c) => c.json(c.get("caller")));
  new Hono().use(onHono.verifyMicroservice()).get("/", (c) => c.text(name(c.var.caller)));
}

export function ofKoa(): void {
  const app = new Koa();
  app.use(onKoa.errorHandler()).use(onKoa.middleware()).use(onKoa.verifyMicroservice());
  app.use((ctx) => {
    ctx.body = nameOrNone(ctx.state.caller);
    // @ts-expect-error
    name(ctx.state.caller);
  });
  new Koa<{ user: string }, { log: (line: string) => void }>().use(onKoa.verifyMicroservice());
}

export function ofNode(): void {
  createServer(onNode.middleware()(onNode.verifyMicroservice()((req, res) => res.end(name(req.caller) + req.url))));
  onNode.verifyMicroservice(optional)((req, res) => {
    // @ts-expect-error
    name(req.caller);
    res.end(nameOrNone(req.caller));
  });
  createHttp2Server(onNode.verifyMicroservice()((req, res) => res.stream.end(name(req.caller) + req.authority)));
}

export const ofWeb = [
  onWeb.middleware()(() => new Response()),
  onWeb.errorHandler()(onWeb.verifyMicroservice()((_request, { caller }) => new Response(name(caller)))),
  onWeb.verifyMicroservice({ audience: "stock" })(async (request: NextRequest, { caller }) =>
    Response.json([name(caller), request.nextUrl.pathname]),
  ),
  onWeb.verifyMicroservice(optional)((_request, { caller }) => {
    // @ts-expect-error
    name(caller);
    return Response.json(nameOrNone(caller));
  }),
  // @ts-expect-error a handler returns a Response
  onWeb.verifyMicroservice()((_request, { caller }) => name(caller)),
];

interface NextContext {
  params: Promise<{ item: string }>;
}
type NextRoute = (request: NextRequest, context: NextContext) => Promise<Response>;

/** Route handlers of Next.js with the platform's context and the caller: annotated at the handler, or at the guard. */
export const ofNext: readonly NextRoute[] = [
  onWeb.verifyMicroservice()(async (_request, { caller, params }: NextContext & { caller: Caller }) =>
    Response.json([name(caller), (await params).item]),
  ),
  onWeb.verifyMicroservice()<NextContext>(async (_request, { caller, params }) =>
    Response.json([name(caller), (await params).item]),
  ),
];

export function ofLambda(): void {
  onLambda.verifyMicroservice()(async (_event, { caller }) => ({ statusCode: 200, body: name(caller) }));
  onLambda.verifyMicroservice(optional)(async (_event, { caller }) => ({ statusCode: 200, body: nameOrNone(caller) }));
  // @ts-expect-error caller can be undefined
  onLambda.verifyMicroservice(optional)(async (_event, { caller }) => ({ statusCode: 200, body: name(caller) }));
  // @ts-expect-error not an event of a gateway
  onLambda.middleware()(async (event: { Records: string[]; headers: number }) => event.Records);
}
