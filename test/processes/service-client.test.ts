// orders calls inventory with its own token: a real core, real sockets, the packages as installed.
import { createCountersign, type Countersign, type Reason, type VerifierEvent } from "countersign";
import { verifyMicroservice } from "countersign/framework/node";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { Process, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

const API_KEY = "an-api-key-of-20-characters";

function serviceNamed(appName: string, connectionURI: string, apiKey?: string): Countersign {
  const appInfo = { appName, apiDomain: "http://localhost:4001" };
  const instance = createCountersign({ appInfo, core: { connectionURI, apiKey } });
  onTestFinished(() => instance.close());
  return instance;
}

/** `/stock` is for orders and billing, with stock:reserve. */
async function startInventory(connectionURI: string) {
  const refused: Reason[] = [];
  const guard = verifyMicroservice({
    countersign: serviceNamed("inventory", connectionURI),
    audience: "inventory",
    allow: ["orders", "billing"],
    scope: "stock:reserve",
    onEvent: (event: VerifierEvent) => void (event.type === "refused" && refused.push(event.reason)),
  });
  const server = createServer(guard((req, res) => res.end(JSON.stringify([req.caller.service, req.caller.scopes]))));
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { stock: `http://127.0.0.1:${(server.address() as AddressInfo).port}/stock`, refused };
}

async function outcome(call: Promise<Response>) {
  const answer = await call;
  return [answer.status, answer.status === 200 ? await answer.json() : answer.headers.get("www-authenticate")];
}

const FORBIDDEN = 'Bearer realm="microservices", error="insufficient_scope"';
const purpose = { audience: "inventory", scope: "stock:read stock:reserve" };

test("S3 the callee decides by the caller, audience and scope in the token", async () => {
  const core = await startCoreProcess(await temporaryDirectory(), ["--api-key", API_KEY]);
  const { stock, refused } = await startInventory(core.url);
  const orders = serviceNamed("orders", core.url, API_KEY);
  const call = orders.createServiceFetch(purpose);
  await call.ready();
  expect(await outcome(call(stock))).toEqual([200, ["orders", ["stock:read", "stock:reserve"]]]);

  const reading = orders.createServiceFetch({ audience: "inventory", scope: "stock:read" });
  expect(await outcome(reading(stock))).toEqual([403, `${FORBIDDEN}, scope="stock:reserve"`]);
  const shipping = serviceNamed("shipping", core.url, API_KEY).createServiceFetch(purpose);
  expect(await outcome(shipping(stock))).toEqual([403, FORBIDDEN]);
  const toBilling = orders.createServiceFetch({ ...purpose, audience: "billing" });
  expect((await toBilling(stock)).status).toBe(401);
  expect(refused).toEqual([
    "insufficient_scope",
    "caller_not_allowed",
    "audience_mismatch",
    "audience_mismatch", // with a fresh token
  ]);
});

test("calls continue while the core is down, and a service can start before the core", async () => {
  const dataDir = await temporaryDirectory();
  const core = await startCoreProcess(dataDir);
  const { stock } = await startInventory(core.url);
  const call = serviceNamed("orders", core.url).createServiceFetch(purpose);
  expect((await call(stock)).status).toBe(200);
  await core.kill("SIGKILL");
  for (let i = 0; i < 10; i++) expect((await call(stock)).status).toBe(200);

  const early = serviceNamed("billing", core.url).createServiceFetch(purpose);
  const waiting = early.ready();
  const { port } = new URL(core.url);
  await startCoreProcess(dataDir, ["--port", port]);
  await waiting;
  expect(await outcome(early(stock))).toMatchObject([200, ["billing", {}]]);
});

test("a key that the core does not know is an immediate error, without the key", async () => {
  const core = await startCoreProcess(await temporaryDirectory(), ["--api-key", API_KEY]);
  const wrong = "another-key-of-20-characters";
  const ready = serviceNamed("orders", core.url, wrong).createServiceFetch().ready();
  const error = await ready.catch((reason: unknown) => reason as Error);
  expect(error).toMatchObject({ code: "core_refused", status: 401 });
  expect(String((error as Error).stack)).not.toContain(wrong);
});

test("an embedded core issues them too, and no timer keeps the process alive", async () => {
  const dataDir = await temporaryDirectory();
  const { code, stdout, stderr } = await new Process(["test/support/calling-service.mjs"], { DATA_DIR: dataDir }).ended;
  expect([code, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toMatchObject({
    source: "microservice",
    sub: "orders",
    aud: "inventory",
    scope: "stock:read",
  });
});
