import { errorHandler, middleware, verifyMicroservice } from "countersign/framework/fastify";
import Fastify from "fastify";
import { port, stock } from "./inventory.ts";

const app = Fastify();
await app.register(middleware());
app.setErrorHandler(errorHandler());

app.get<{ Params: { item: string } }>("/stock/:item", { onRequest: verifyMicroservice() }, async (request) => {
  const { item } = request.params;
  return { item, left: stock.get(item) ?? 0, caller: request.caller?.service };
});

console.log(`inventory listening on ${await app.listen({ port })}`);
