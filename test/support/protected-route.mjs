// The test kit under node:test.
import assert from "node:assert/strict";
import test from "node:test";
import express from "express";
import { verifyMicroservice } from "countersign/framework/express";
import { startTestIssuer } from "countersign/testing";

const app = express();
app.get("/stock", verifyMicroservice(), (req, res) => void res.json({ calledBy: req.caller?.service }));

void test("only services get the stock", async (t) => {
  const issuer = startTestIssuer();
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => Promise.all([issuer.close(), new Promise((resolve) => server.close(resolve))]));
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const url = `http://127.0.0.1:${port}/stock`;
  const good = await fetch(url, { headers: issuer.actAs("orders") });
  assert.deepEqual(await good.json(), { calledBy: "orders" });
  assert.equal((await fetch(url)).status, 401);
  assert.equal((await fetch(url, { headers: issuer.actAsStranger("orders") })).status, 401);
});
