// M1: gets its token when it starts, and calls inventory with it.
import countersign from "countersign";
import jwt from "countersign/recipe/jwt";
import express from "express";
import type { AddressInfo } from "node:net";

const {
  CORE_URI = "http://localhost:3567",
  CORE_API_KEY,
  INVENTORY_URL = "http://localhost:4002",
  PORT = "4001",
} = process.env;

countersign.init({
  appInfo: { appName: "orders", apiDomain: `http://localhost:${PORT}` },
  core: { connectionURI: CORE_URI, apiKey: CORE_API_KEY },
  recipeList: [jwt.init()],
});

const answer = await jwt.createJWT({ source: "microservice", service: "orders" });
if (answer.status !== "OK") throw new Error(`the core answered ${answer.status}`);
const token = answer.jwt;

const app = express();

app.post("/orders/:item", async (req, res) => {
  const stock = await fetch(`${INVENTORY_URL}/stock/${encodeURIComponent(req.params.item)}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  res.status(stock.status).json(await stock.json());
});

const server = app.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`orders listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
