// Limits that a policy sets on tokens for services.
import { beforeAll, describe, expect, it, vi } from "vitest";
import { ADMIN_KEY, expectText, partsOf, startTestCore, type TestCore } from "../../support/core.ts";
import { newCredential } from "../../support/services.ts";

const POLICY = `services:
  orders:
    calls:
      inventory: [stock:read, stock:reserve]
  cart:
    calls:
      inventory: [stock:read]
      orders: []
  inventory: {}
  billing: {}
  legacy: { reportOnly: true }
`;

let core: TestCore;
const credentials: Record<string, string> = {};
beforeAll(async () => {
  core = await startTestCore();
  for (const name of ["orders", "cart", "inventory", "billing", "legacy"]) {
    credentials[name] = (await newCredential(core, name)).credential;
  }
  await apply(POLICY);
});

async function apply(text: string): Promise<void> {
  const body = { text };
  expect((await core.call("/admin/v1/apps/public/policy", { method: "PUT", apiKey: ADMIN_KEY, body })).status).toBe(
    200,
  );
}
const ask = (service: string, fields: Record<string, unknown>, on = core) =>
  on.post({ payload: {}, ...fields }, { apiKey: credentials[service]! });
/** The claims that describe the call. */
const call = async (service: string, fields: Record<string, unknown>) => {
  const { aud, scope, sub, source } = partsOf((await ask(service, fields)).json["jwt"] as string).claims;
  expect([sub, source]).toEqual([service, "microservice"]);
  return [aud, scope];
};

describe("a service gets a token", () => {
  it("for audiences and scopes that the policy grants", async () => {
    expect(await call("orders", { audience: "inventory" })).toEqual(["inventory", "stock:read stock:reserve"]);
    expect(await call("orders", { audience: "inventory", scope: "stock:reserve" })).toEqual([
      "inventory",
      "stock:reserve",
    ]);
    expect(await call("orders", {})).toEqual(["inventory", "stock:read stock:reserve"]);
    expect(await call("orders", { scope: "stock:read" })).toEqual(["inventory", "stock:read"]);
    expect(await call("cart", { audience: "orders" })).toEqual(["orders", undefined]);
  });

  it("S3 takes the audience from the payload if the request has no audience field, for older clients", async () => {
    expect(await call("cart", { payload: { aud: "orders" } })).toEqual(["orders", undefined]);
    expect(await call("cart", { payload: { aud: "inventory" }, scope: "stock:read" })).toEqual([
      "inventory",
      "stock:read",
    ]);
    expect(await call("orders", { payload: { aud: "inventory" } })).toEqual(["inventory", "stock:read stock:reserve"]);
    for (const [service, aud] of [
      ["cart", "billing"],
      ["cart", "cart"],
      ["cart", ""],
      ["orders", "billing"],
    ] as const) {
      const text = "payload: the core sets claim 'aud' of a service token";
      expectText(await ask(service, { payload: { aud } }), 403, text);
    }
    const scope = "the policy does not grant cart this scope for inventory; it grants stock:read";
    expectText(await ask("cart", { payload: { aud: "inventory" }, scope: "stock:reserve" }), 403, scope);
    for (const aud of [["orders"], null, 1, {}]) {
      expectText(
        await ask("cart", { payload: { aud } }),
        400,
        "'audience' is missing: cart can call inventory and orders",
      );
    }
    // The field takes precedence, and the payload cannot contradict it.
    expect((await ask("cart", { audience: "orders", payload: { aud: "inventory" } })).status).toBe(403);
    expect(await call("cart", { audience: "orders", payload: { aud: "orders" } })).toEqual(["orders", undefined]);
  });

  it("S3 for no other audience or scope, and no response echoes the request", async () => {
    const target = "the policy does not allow orders to call this audience; orders can call inventory";
    for (const audience of ["billing", "cart", "orders", "INVENTORY", "inventory billing", "", "<b>"]) {
      expectText(await ask("orders", { audience }), 403, target);
    }
    const scope = "the policy does not grant cart this scope for inventory; it grants stock:read";
    for (const asked of ["stock:reserve", "stock:read stock:reserve", "*"]) {
      expectText(await ask("cart", { audience: "inventory", scope: asked }), 403, scope);
    }
    expectText(await ask("cart", {}), 400, "'audience' is missing: cart can call inventory and orders");
    expectText(await ask("billing", {}), 400, "'audience' is missing: billing can call no service");
    expect((await ask("orders", { audience: "inventory", payload: { aud: "billing" } })).status).toBe(403);
    expect((await ask("orders", { payload: { scope: "stock:read" } })).status).toBe(403);
    expect(await call("orders", { payload: { aud: "inventory", scope: "stock:read stock:reserve" } })).toHaveLength(2);
  });
});

it("every service can call a report-only service, and the core counts calls that the policy lacks", async () => {
  const report = async () => {
    const { json } = await core.call("/admin/v1/apps/public/policy/report", { apiKey: ADMIN_KEY });
    const calls = json["calls"] as { caller: string; callee: string; scope: string | null; count: number }[];
    return calls.map(({ caller, callee, scope, count }) => [caller, callee, scope, count]);
  };
  for (let i = 0; i < 3; i++)
    expect(await call("billing", { audience: "legacy", scope: "a" })).toEqual(["legacy", "a"]);
  expect(await call("orders", { audience: "legacy" })).toEqual(["legacy", undefined]);
  expect((await ask("orders", { audience: "legacy", payload: { sub: "cart" } })).status).toBe(403); // no token either
  expect(await report()).toEqual([
    ["billing", "legacy", "a", 3],
    ["orders", "legacy", null, 1],
  ]);
});

it("a policy change reaches every instance within 6 s, and then it rejects what the policy no longer grants", async () => {
  const other = await startTestCore({ dataDir: core.dataDir });
  const statuses = async () => [
    (await ask("orders", { audience: "inventory" }, other)).status,
    (await ask("orders", { audience: "billing" }, other)).status,
  ];
  expect(await statuses()).toEqual([200, 403]);
  await apply(POLICY.replace("      inventory: [stock:read, stock:reserve]", "      billing: []"));
  expect((await ask("orders", { audience: "inventory" })).status).toBe(403); // immediately on this instance
  await vi.waitFor(async () => expect(await statuses()).toEqual([403, 200]), { timeout: 6_000, interval: 20 });
  await apply(POLICY);
});
