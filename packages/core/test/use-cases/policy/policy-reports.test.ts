// Calls that report-only callees would have rejected. Stored once a minute, equal on every instance.
import { beforeEach, expect, it } from "vitest";
import { StoreUnavailable, type Store } from "../../../src/ports/store.ts";
import { openInstance, startInstance, type Instance } from "../../support/instance.ts";
import { registerServices } from "../../support/services.ts";

const POLICY =
  "services:\n  orders: { calls: { legacy: [a] } }\n  cart: {}\n  legacy: { reportOnly: true }\n  strict: {}\n";

let instance: Instance;
const line = { away: false };
const storeOf = (real: Store): Store => ({
  ...real,
  write: (work) => (line.away ? Promise.reject(new StoreUnavailable("away")) : real.write(work)),
});
beforeEach(async () => {
  line.away = false;
  instance = await startInstance({ storeOf });
  await registerServices(instance.store, ["orders", "cart", "legacy", "strict"]);
  await apply(POLICY);
});

async function apply(text: string): Promise<void> {
  const applied = await instance.managePolicy.apply("public", { text, expectedVersion: undefined, appliedBy: "anna" });
  expect(applied).toMatchObject({ ok: true });
}
/** Formats each call as `caller>callee scope × count`, most frequent first. */
const report = async (on = instance) =>
  (await on.managePolicy.report("public")).map(
    ({ caller, callee, scope, count }) => `${caller ?? "others"}>${callee ?? "others"} ${scope ?? "-"} × ${count}`,
  );
const count = (caller: string, scopes?: string[], callee = "legacy", on = instance) =>
  on.reports.count("public", caller, callee, scopes);

it("counts each scope that the policy lacks, or else the call, with its first and last time", async () => {
  const first = new Date(instance.clock.now()).toISOString();
  count("orders", ["a", "b", "c"]);
  instance.clock.advance(2_000);
  count("orders", ["b"]);
  count("cart");
  count("cart", []);
  count("cart", ["a"]);
  count("orders", ["a"]); // which a rule grants
  expect((await report()).sort()).toEqual([
    "cart>legacy - × 2",
    "cart>legacy a × 1",
    "orders>legacy b × 2",
    "orders>legacy c × 1",
  ]);
  const last = new Date(instance.clock.now()).toISOString();
  expect((await instance.managePolicy.report("public")).find(({ scope }) => scope === "b")).toEqual({
    ...{ caller: "orders", callee: "legacy", scope: "b", count: 2 },
    ...{ firstAt: first, lastAt: last },
  });
});

it("stores counts at most once a minute, added to those of other instances", async () => {
  const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
  count("cart");
  await instance.reports.flush();
  expect(await report(other)).toEqual([]);
  instance.clock.advance(60_000);
  await instance.reports.flush();
  expect(await report(other)).toEqual(["cart>legacy - × 1"]);
  count("cart", undefined, "legacy", other);
  count("cart", ["x"], "legacy", other);
  expect(await report(other)).toEqual(["cart>legacy - × 2", "cart>legacy x × 1"]);
  await other.reports.flushNow();
  expect(await report()).toEqual(["cart>legacy - × 2", "cart>legacy x × 1"]);
  const { epoch } = await instance.store.readState();
  instance.clock.advance(60_000);
  count("cart");
  await instance.reports.flush();
  expect([await report(other), (await instance.store.readState()).epoch]).toEqual([
    ["cart>legacy - × 3", "cart>legacy x × 1"],
    epoch,
  ]);
});

it("loses nothing and counts nothing twice while the store is unavailable", async () => {
  count("cart");
  line.away = true;
  await expect(instance.reports.flushNow()).rejects.toThrow(StoreUnavailable);
  count("cart");
  expect(await report()).toEqual(["cart>legacy - × 2"]);
  line.away = false;
  const writing = instance.reports.flushNow();
  count("cart");
  expect(await report()).toEqual(["cart>legacy - × 3"]);
  await writing;
  await instance.reports.flushNow();
  expect(await report()).toEqual(["cart>legacy - × 3"]);
});

it("is limited to 1,000 different calls of an app: further calls share one count", async () => {
  for (let i = 0; i < 1_500; i++) count("cart", [`s${i}`]);
  for (let i = 0; i < 20; i++) count("cart", ["s7"]);
  const lines = await report();
  expect(lines.slice(0, 2)).toEqual(["others>others - × 500", "cart>legacy s7 × 21"]);
  expect(lines).toHaveLength(1_001);
  await instance.reports.flushNow();
  for (let i = 2_000; i < 2_500; i++) count("cart", [`s${i}`]);
  await instance.reports.flushNow();
  expect((await report()).slice(0, 2)).toEqual(["others>others - × 1000", "cart>legacy s7 × 21"]);
  expect(await instance.store.readReported("public")).toHaveLength(1_001);
  await apply(POLICY.replace("{ reportOnly: true }", "{}"));
  expect(await instance.store.readReported("public")).toEqual([]);
});

it("drops calls that the policy now grants, and callees that are no longer report-only", async () => {
  count("orders", ["b"]);
  count("cart");
  await instance.reports.flushNow();
  count("orders", ["c"]);
  await apply(POLICY.replace("[a]", "[a, b, c]"));
  expect(await report()).toEqual(["cart>legacy - × 1"]);
  expect(await instance.store.readReported("public")).toHaveLength(1);
  await apply(POLICY.replace("{ reportOnly: true }", "{}"));
  expect([await report(), await instance.store.readReported("public")]).toEqual([[], []]);
});

it("is separate for each app, and writes nothing for a removed app", async () => {
  await instance.manageApps.create("shop");
  await registerServices(instance.store, ["orders", "cart", "legacy", "strict"], "shop");
  await instance.managePolicy.apply("shop", { text: POLICY, expectedVersion: undefined, appliedBy: "anna" });
  instance.reports.count("shop", "cart", "legacy", ["x"]);
  count("cart", ["y"]);
  expect([await report(), (await instance.managePolicy.report("shop")).map(({ scope }) => scope)]).toEqual([
    ["cart>legacy y × 1"],
    ["x"],
  ]);
  await instance.manageApps.remove("shop");
  await instance.reports.flushNow();
  expect(await instance.store.readReported("public")).toHaveLength(1);
  expect(await instance.store.readReported("shop")).toEqual([]);
});
