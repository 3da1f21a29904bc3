import { serve } from "@hono/node-server";
import { errorHandler, middleware, verifyMicroservice } from "countersign/framework/hono";
import { Hono } from "hono";
import { port, stock } from "./inventory.ts";

const app = new Hono();
app.use(middleware());
app.onError(errorHandler());

app.get("/stock/:item", verifyMicroservice(), (c) => {
  const item = c.req.param("item");
  return c.json({ item, left: stock.get(item) ?? 0, caller: c.var.caller.service });
});

serve({ fetch: app.fetch, port, hostname: "127.0.0.1" }, (info) => {
  console.log(`inventory listening on http://127.0.0.1:${info.port}`);
});
