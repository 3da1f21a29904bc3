import Koa from "koa";
import { middleware, errorHandler, verifyMicroservice } from "../../src/framework/koa.ts";
import { describeFramework } from "../support/framework-suite.ts";
import { readBody } from "../support/http.ts";

describeFramework("Koa", ({ front, handlesErrors, guard, handle, own }) => {
  const app = new Koa();
  app.silent = true;
  if (handlesErrors === true) app.use(errorHandler());
  if (front !== undefined) app.use(middleware(front));
  app.use(async (ctx, next) => {
    if (ctx.path === "/own") ctx.body = own();
    else await next();
  });
  if (guard !== undefined) {
    app.use(verifyMicroservice(guard));
    app.use(async (ctx) => {
      const body: unknown = ctx.method === "POST" ? JSON.parse(await readBody(ctx.req)) : undefined;
      ctx.body = handle(ctx.state.caller, body);
    });
  }
  const listener = app.callback();
  return (req, res) => void listener(req, res);
});
