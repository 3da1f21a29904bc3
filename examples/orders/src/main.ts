// The calling service: gets its token for inventory at start. The policy decides whether it can call billing.
import countersign, { createServiceFetch, CountersignError } from "countersign";
import { errorHandler } from "countersign/framework/express";
import express from "express";
import type { AddressInfo } from "node:net";

const {
  CORE_URI = "http://localhost:3567",
  CORE_API_KEY,
  BILLING_URL = "http://localhost:4003",
  INVENTORY_URL = "http://localhost:4002",
  PORT = "4001",
} = process.env;

countersign.init({
  appInfo: { appName: "orders", apiDomain: `http://localhost:${PORT}` },
  core: { connectionURI: CORE_URI, apiKey: CORE_API_KEY },
});

const callBilling = createServiceFetch({ audience: "billing" });
const callInventory = createServiceFetch({ audience: "inventory" });
await callInventory.ready();

const app = express();

app.post("/orders/:item", async (req, res) => {
  const stock = await callInventory(`${INVENTORY_URL}/stock/${encodeURIComponent(req.params.item)}`);
  res.status(stock.status).json(await stock.json());
});
app.post("/invoices/:item", async (req, res) => {
  try {
    const answer = await callBilling(`${BILLING_URL}/stock/${encodeURIComponent(req.params.item)}`);
    res.status(answer.status).json(await answer.json());
  } catch (error) {
    if (!(error instanceof CountersignError && error.status === 403)) throw error;
    res.status(403).json({ message: "the policy does not allow orders to call billing" });
  }
});
app.use(errorHandler()); // 503 if the core is down and there is no token

const server = app.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`orders listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
