import { errorHandler, middleware, verifyMicroservice } from "countersign/framework/koa";
import Koa from "koa";
import type { AddressInfo } from "node:net";
import { port, stock } from "./inventory.ts";

const app = new Koa();
app.use(errorHandler());
app.use(middleware());
app.use(verifyMicroservice());

app.use((ctx) => {
  const item = ctx.path.replace("/stock/", "");
  ctx.body = { item, left: stock.get(item) ?? 0, caller: ctx.state.caller?.service };
});

const server = app.listen(port, "127.0.0.1", () => {
  console.log(`inventory listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
