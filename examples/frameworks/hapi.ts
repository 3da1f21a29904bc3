import { server as createServer } from "@hapi/hapi";
import { errorHandler, middleware, verifyMicroservice } from "countersign/framework/hapi";
import { port, stock } from "./inventory.ts";

const server = createServer({ port, host: "127.0.0.1" });
await server.register(middleware());
server.ext("onPreResponse", errorHandler());

server.route<{ Params: { item: string } }>({
  method: "GET",
  path: "/stock/{item}",
  options: { ext: { onPreAuth: { method: verifyMicroservice() } } },
  handler: ({ params: { item }, app: { caller } }) => ({
    item,
    left: stock.get(item) ?? 0,
    caller: caller?.service,
  }),
});

await server.start();
console.log(`inventory listening on ${server.info.uri}`);
