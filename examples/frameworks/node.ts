import { middleware, verifyMicroservice } from "countersign/framework/node";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { port, stock } from "./inventory.ts";

const handler = verifyMicroservice()((req, res) => {
  const item = req.url?.replace("/stock/", "") ?? "";
  res.setHeader("content-type", "application/json");
  res.end(JSON.stringify({ item, left: stock.get(item) ?? 0, caller: req.caller.service }));
});

const server = createServer(middleware()(handler)).listen(port, "127.0.0.1", () => {
  console.log(`inventory listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
