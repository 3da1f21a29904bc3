// The called service: accepts tokens that name it as the audience. It needs no secret, only the core's public keys. The demo
// starts it a second time with SERVICE=billing.
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
  res.json({ item, left: stock.get(item) ?? 0, caller: req.caller?.service });
});
app.use(errorHandler());

const server = app.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`${SERVICE} listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
