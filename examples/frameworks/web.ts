// For everything that maps a Request to a Response. Bun.serve and Deno.serve take the same handler.
import { serve } from "@hono/node-server";
import { errorHandler, middleware, verifyMicroservice } from "countersign/framework/web";
import { port, stock } from "./inventory.ts";

const handler = verifyMicroservice()((request, { caller }) => {
  const item = new URL(request.url).pathname.replace("/stock/", "");
  return Response.json({ item, left: stock.get(item) ?? 0, caller: caller.service });
});

serve({ fetch: errorHandler()(middleware()(handler)), port, hostname: "127.0.0.1" }, (info) => {
  console.log(`inventory listening on http://127.0.0.1:${info.port}`);
});
