// Policies on instances without HTTP: what is applied, when it is in force elsewhere, and what is kept of it.
import { beforeEach, describe, expect, it } from "vitest";
import { decideCall } from "../../../src/domain/policy/policy.ts";
import { openInstance, startInstance, type Instance } from "../../support/instance.ts";
import { itOnPostgres } from "../../support/postgres.ts";
import { registerServices } from "../../support/services.ts";
import { onPostgres, onSqlite } from "../../support/store-places.ts";

const FIRST = "services:\n  orders: { calls: { inventory: [stock:read] } }\n  inventory: {}\n";
const SECOND = FIRST.replace("[stock:read]", "[stock:read, stock:reserve]");

let instance: Instance;
beforeEach(async () => {
  instance = await startInstance();
  await registerServices(instance.store, ["orders", "inventory", "billing"]);
});

const apply = (
  text: string,
  { by = "anna", expectedVersion = undefined as number | undefined, on = instance, app = "public" } = {},
) => on.managePolicy.apply(app, { text, expectedVersion, appliedBy: by });
const isAllowed = (callee: string, scope?: string, on = instance) =>
  decideCall(on.state.callPolicyOf("public"), "orders", callee, scope === undefined ? undefined : [scope]).allowed;

describe("a policy that is applied", () => {
  it("is in force at once, whole, in its app and no other", async () => {
    await instance.manageApps.create("shop");
    expect([isAllowed("inventory"), instance.managePolicy.current("public")]).toEqual([false, undefined]);
    const applied = await apply(FIRST);
    const appliedAt = new Date(instance.clock.now()).toISOString();
    expect(applied).toEqual({
      ok: true,
      value: { version: 1, appliedAt, appliedBy: "anna", changes: expect.any(Array) },
    });
    expect([isAllowed("inventory"), isAllowed("inventory", "stock:reserve"), isAllowed("billing")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(instance.managePolicy.current("public")).toEqual({
      ...{ version: 1, appliedAt, appliedBy: "anna" },
      document: { services: { orders: { calls: { inventory: ["stock:read"] } }, inventory: {} } },
    });
    expect(instance.managePolicy.current("shop")).toBeUndefined();
  });

  it("is in force on another instance with its next look at the store, and so is what replaces it", async () => {
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await apply(FIRST);
    expect(isAllowed("inventory", "stock:read", other)).toBe(false);
    await other.state.refresh();
    expect([isAllowed("inventory", "stock:read", other), isAllowed("inventory", "stock:reserve", other)]).toEqual([
      true,
      false,
    ]);
    await apply(SECOND, { on: other });
    expect(isAllowed("inventory", "stock:reserve", other)).toBe(true);
    expect(isAllowed("inventory", "stock:reserve")).toBe(false);
    await instance.state.refresh();
    expect(isAllowed("inventory", "stock:reserve")).toBe(true);
  });

  it("leaves the one before in force where it is wrong, and says where", async () => {
    await apply(FIRST);
    const before = await instance.store.readContent();
    expect(await apply(FIRST.replace("inventory: {}", "ghost: {}"))).toEqual({
      ok: false,
      status: 400,
      problem: 'line 2, column 22: "inventory" is not declared in services, and 1 more',
      mistakes: [
        { line: 2, column: 22, message: '"inventory" is not declared in services' },
        { line: 3, column: 3, message: 'service "ghost" is not registered in this app' },
      ],
    });
    expect(await apply(FIRST.replace("stock:read", "stock read"))).toMatchObject({ ok: false, status: 400 });
    expect(await apply("{")).toMatchObject({ ok: false, mistakes: [{ line: 1 }] });
    const { now: _, ...left } = await instance.store.readContent();
    expect({ ...left, now: before.now }).toEqual(before);
    expect(isAllowed("inventory")).toBe(true);
  });

  it("names a service that another instance has registered a moment ago", async () => {
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await registerServices(instance.store, ["fresh"]);
    expect(await apply("services: { fresh: {} }", { on: other })).toMatchObject({ ok: true });
  });

  it("and says the same as the one in force, changes nothing and makes no version", async () => {
    await apply(FIRST);
    const { epoch } = await instance.store.readState();
    const same = "# the same\nservices: { inventory: {}, orders: { calls: { inventory: [stock:read] } } }";
    expect(await apply(same, { by: "bert" })).toMatchObject({
      ok: true,
      value: { version: 1, appliedBy: "anna", changes: [] },
    });
    expect((await instance.store.readState()).epoch).toBe(epoch);
    expect(await instance.managePolicy.versions("public")).toHaveLength(1);
  });

  it("may be empty, which is another thing than none", async () => {
    expect(decideCall(instance.state.callPolicyOf("public"), "orders", undefined, undefined).allowed).toBe(true);
    expect(await apply("services: {}")).toMatchObject({ ok: true, value: { version: 1, changes: [] } });
    expect(decideCall(instance.state.callPolicyOf("public"), "orders", undefined, undefined).allowed).toBe(false);
  });

  it("is not applied where another one has been since they were compared (409)", async () => {
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await other.state.refresh();
    expect(await apply(FIRST, { expectedVersion: 1 })).toMatchObject({
      status: 409,
      problem: expect.stringMatching(/^there is no current policy/),
    });
    const raced = await Promise.all([
      apply(FIRST, { expectedVersion: 0, by: "anna" }),
      apply(SECOND, { expectedVersion: 0, by: "bert", on: other }),
    ]);
    expect(raced.filter(({ ok }) => ok)).toHaveLength(1);
    expect(raced.find(({ ok }) => !ok)).toMatchObject({
      status: 409,
      problem: expect.stringMatching(/^the current version is 1/),
    });
    await instance.state.refresh();
    expect(await apply("services: {}", { expectedVersion: 1 })).toMatchObject({ ok: true, value: { version: 2 } });
    expect(await instance.managePolicy.versions("public")).toHaveLength(2);
  });

  it("goes with its app", async () => {
    await instance.manageApps.create("shop");
    await registerServices(instance.store, ["orders", "inventory"], "shop");
    expect(await apply(FIRST, { app: "shop" })).toMatchObject({ ok: true });
    await instance.manageApps.remove("shop");
    await instance.manageApps.create("shop");
    expect([instance.managePolicy.current("shop"), await instance.managePolicy.versions("shop")]).toEqual([
      undefined,
      [],
    ]);
    await instance.manageApps.remove("shop");
    expect(await apply("services: {}", { app: "shop" })).toMatchObject({ ok: false, status: 404 });
  });
});

describe("a service that the policy names", () => {
  const remove = (name: string, on = instance) => on.manageServices.delete("public", name);
  const REFUSED = {
    ...{ ok: false, status: 409 },
    problem:
      "the current policy (version 2) references this service; apply a policy without it, then delete it, " +
      "or disable it to block it now",
  };

  it("is not deleted, as caller or callee, also by an instance that has not looked since", async () => {
    await apply("services: { billing: {} }");
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await apply(FIRST);
    const { epoch } = await instance.store.readState();
    for (const name of ["orders", "inventory"]) {
      for (const on of [instance, other]) expect(await remove(name, on)).toEqual(REFUSED);
    }
    expect((await instance.store.readState()).epoch).toBe(epoch);
    expect(await instance.manageServices.disable("public", "orders")).toMatchObject({ ok: true });
    // What only an earlier version names can go, and so can what none names any more.
    expect(await remove("billing", other)).toMatchObject({ ok: true });
    await apply("services: { inventory: {} }");
    expect(await remove("orders", other)).toMatchObject({ ok: true });
    expect(await remove("inventory", other)).toMatchObject({ ok: false, status: 409 });
  });

  it("is deleted where the policy is of another app", async () => {
    await instance.manageApps.create("shop");
    await registerServices(instance.store, ["orders", "inventory"], "shop");
    await apply(FIRST, { app: "shop" });
    expect(await remove("orders")).toMatchObject({ ok: true });
  });

  it("and that another instance deletes while the policy is being read, is a mistake in it", async () => {
    const late = await openInstance({
      ...{ dataDir: instance.dataDir, clock: instance.clock },
      storeOf: (real) => ({
        ...real,
        async write(work) {
          expect(await remove("inventory")).toMatchObject({ ok: true });
          return real.write(work);
        },
      }),
    });
    expect(await apply(FIRST, { on: late })).toEqual({
      ok: false,
      status: 400,
      problem: 'line 3, column 3: service "inventory" is not registered in this app',
      mistakes: [{ line: 3, column: 3, message: 'service "inventory" is not registered in this app' }],
    });
    expect(await instance.store.readPolicyVersions("public")).toEqual([]);
  });

  describe.each([
    ["SQLite", it, onSqlite],
    ["PostgreSQL", itOnPostgres, onPostgres],
  ] as const)("%s", (_, itHere, place) => {
    itHere("is there, however often it is deleted and named at the same moment by two instances", async () => {
      const openStore = await place();
      const [one, other] = [await startInstance({ openStore }), await openInstance({ openStore })];
      await registerServices(one.store, ["orders", "inventory"]);
      const outcomes = new Set<string>();
      for (let round = 0; round < 40; round++) {
        if (round % 10 === 1) await remove("orders", one); // so that each is first at times, whatever the machine
        const applied = apply(FIRST, { on: other });
        if (round % 10 === 0) await applied;
        for (let step = 0; step < round % 8; step++) await one.store.readState();
        await Promise.all([applied, remove("orders", one)]);
        const { services, policies } = await one.store.readSnapshot();
        const named = policies[0]?.document.includes("orders") ?? false;
        const present = services.some(({ name }) => name === "orders");
        expect([round, named && !present]).toEqual([round, false]);
        outcomes.add(named ? "named" : "deleted");
        if (!present) await registerServices(one.store, ["orders"]);
        expect(await apply("services: {}", { on: one })).toMatchObject({ ok: true });
      }
      expect(outcomes).toEqual(new Set(["named", "deleted"]));
    });
  });
});

it("every version is kept, with who applied it and when", async () => {
  await apply(FIRST, { by: "anna" });
  instance.clock.advance(1_000);
  await apply(SECOND, { by: "bert" });
  const [second, first] = await instance.managePolicy.versions("public");
  expect([first, second]).toMatchObject([
    { version: 1, appliedBy: "anna" },
    { version: 2, appliedBy: "bert" },
  ]);
  expect(Date.parse(second!.appliedAt) - Date.parse(first!.appliedAt)).toBe(1_000);
  expect(await instance.managePolicy.version("public", 1)).toMatchObject({
    value: { version: 1, document: { services: { orders: { calls: { inventory: ["stock:read"] } } } } },
  });
  expect(await instance.managePolicy.version("public", 3)).toMatchObject({ ok: false, status: 404 });
});

it("a difference says what applying would change, and what it was compared with", async () => {
  const added = { change: "added", kind: "scope", caller: "orders", callee: "inventory", scope: "stock:reserve" };
  expect(await instance.managePolicy.diff("public", FIRST)).toMatchObject({ ok: true, value: { version: 0 } });
  await apply(FIRST);
  expect(await instance.managePolicy.diff("public", SECOND)).toEqual({
    ok: true,
    value: { version: 1, changes: [added] },
  });
  expect(await instance.managePolicy.diff("public", FIRST)).toEqual({ ok: true, value: { version: 1, changes: [] } });
  expect(await instance.managePolicy.diff("public", "services: { ghost: {} }")).toMatchObject({
    ok: false,
    status: 400,
  });
  expect(await instance.managePolicy.versions("public")).toHaveLength(1);
  expect(await apply(SECOND)).toMatchObject({ value: { changes: [added] } });
});

it("a question is about services and scopes as they can be", async () => {
  await apply(FIRST);
  const test = (caller: string, callee: string, scope?: string) =>
    instance.managePolicy.test("public", caller, callee, scope);
  expect(test("orders", "inventory", "stock:read")).toMatchObject({ ok: true, value: { allowed: true } });
  expect(test("orders", "billing")).toMatchObject({ ok: true, value: { allowed: false } });
  for (const [caller, callee, scope] of [
    ["Orders", "inventory", undefined],
    ["orders", "in ventory", undefined],
    ["orders", "inventory", "stock read"],
    ["orders", "inventory", ""],
  ] as const) {
    expect(test(caller, callee, scope)).toMatchObject({ ok: false, status: 400 });
  }
});

it("a question is answered as the core answers the service: nobody who is disabled or deleted gets a token", async () => {
  await apply(FIRST);
  const ask = () => instance.managePolicy.test("public", "orders", "inventory", "stock:read");
  expect(ask()).toMatchObject({ value: { allowed: true } });
  await instance.manageServices.disable("public", "orders");
  expect(ask()).toMatchObject({ value: { allowed: false, why: expect.stringMatching(/^orders is disabled/) } });
  await instance.manageServices.enable("public", "orders");
  expect(ask()).toMatchObject({ value: { allowed: true } });
  expect(instance.managePolicy.test("public", "ghost", "inventory", undefined)).toMatchObject({
    value: { allowed: false, why: expect.stringMatching(/^ghost is not registered.*register ghost, declare ghost/) },
  });
});

it("S3 a stored policy that cannot be read lets nobody through, and can be replaced", async () => {
  await apply(FIRST);
  for (const document of ['{"services":{"orders":{"calls":{"inventory":[]},"unlike":1}}}', "{", '{"services":{}}x']) {
    await instance.store.write((writer) => writer.policies.insert("public", document, "a later version"));
    await instance.state.refresh();
    expect([isAllowed("inventory"), isAllowed("billing")]).toEqual([false, false]);
  }
  expect(await apply(FIRST)).toMatchObject({ ok: true, value: { version: 5 } });
  expect(isAllowed("inventory")).toBe(true);
});

it("what is in force is read anew only where it has changed", async () => {
  await apply(FIRST);
  const policy = instance.state.callPolicyOf("public");
  await instance.manageApps.create("shop");
  expect(instance.state.callPolicyOf("public")).toBe(policy);
  await apply(SECOND);
  expect(instance.state.callPolicyOf("public")).not.toBe(policy);
});
