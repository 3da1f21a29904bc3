import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { vi } from "vitest";
import { errorHandler, middleware, verifyMicroservice } from "../../src/framework/hono.ts";
import { describeFramework } from "../support/framework-suite.ts";

vi.spyOn(console, "error").mockReturnValue(); // where Hono reports errors

describeFramework("Hono", ({ front, handlesErrors, guard, handle, own }) => {
  const app = new Hono();
  if (front !== undefined) app.use(middleware(front));
  if (handlesErrors === true) app.onError(errorHandler());
  if (guard !== undefined) {
    app.get("/stock", verifyMicroservice(guard), (c) => c.json(handle(c.var.caller)));
    app.post("/stock", verifyMicroservice(guard), async (c) => c.json(handle(c.get("caller"), await c.req.json())));
  }
  app.get("/own", (c) => c.json(own()));
  const listener = getRequestListener(app.fetch);
  return (req, res) => void listener(req, res);
});
