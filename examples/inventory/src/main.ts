// M2: lets in other services that have a token for it, and nobody else. It holds no secret: the core's public keys are all
// it needs. SERVICE gives it another name, for who wants to see a second callee.
import countersign, { meaningOf } from "countersign";
import { errorHandler, middleware, verifyMicroservice } from "countersign/framework/express";
import express from "express";
import type { AddressInfo } from "node:net";

const {
  CORE_URI = "http://localhost:3567",
  CLOCK_TOLERANCE = "30",
  PORT = "4002",
  SERVICE = "inventory",
} = process.env;

countersign.init({
  appInfo: { appName: SERVICE, apiDomain: `http://localhost:${PORT}` },
  core: { connectionURI: CORE_URI },
});

const stock = new Map([
  ["anvil", 7],
  ["rope", 120],
]);
const guard = verifyMicroservice({
  audience: SERVICE,
  clockTolerance: Number(CLOCK_TOLERANCE),
  onEvent: (event) => {
    if (event.type === "refused") console.log(JSON.stringify({ refused: event.reason, why: meaningOf(event.reason) }));
  },
});

const app = express();
app.use(middleware());
app.get("/stock/:item", guard, (req, res) => {
  const { item } = req.params;
  res.json({ item, left: stock.get(item) ?? 0, askedBy: req.caller?.service });
});
app.use(errorHandler());

const server = app.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`${SERVICE} listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
