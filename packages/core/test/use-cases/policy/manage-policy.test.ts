// Policies on instances without HTTP: applying a policy, when other instances use it, and the history.
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
  it("is current immediately and atomically, in its own app only", async () => {
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

  it("is current on another instance after its next poll of the store, and so is its replacement", async () => {
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

  it("is rejected if it is invalid, with the position of the error, and the previous one stays current", async () => {
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

  it("can name a service that another instance has just registered", async () => {
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await registerServices(instance.store, ["fresh"]);
    expect(await apply("services: { fresh: {} }", { on: other })).toMatchObject({ ok: true });
  });

  it("creates no new version if it means the same as the current one", async () => {
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

  it("can be empty, which differs from having no policy", async () => {
    expect(decideCall(instance.state.callPolicyOf("public"), "orders", undefined, undefined).allowed).toBe(true);
    expect(await apply("services: {}")).toMatchObject({ ok: true, value: { version: 1, changes: [] } });
    expect(decideCall(instance.state.callPolicyOf("public"), "orders", undefined, undefined).allowed).toBe(false);
  });

  it("is rejected if another one was applied since the comparison (409)", async () => {
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

  it("is deleted with its app", async () => {
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

describe("a service in the policy", () => {
  const remove = (name: string, on = instance) => on.manageServices.delete("public", name);
  const REFUSED = {
    ...{ ok: false, status: 409 },
    problem:
      "the current policy (version 2) references this service; apply a policy without it, then delete it, " +
      "or disable it to block it now",
  };

  it("cannot be deleted, as caller or callee, even by an instance that has not polled since", async () => {
    await apply("services: { billing: {} }");
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await apply(FIRST);
    const { epoch } = await instance.store.readState();
    for (const name of ["orders", "inventory"]) {
      for (const on of [instance, other]) expect(await remove(name, on)).toEqual(REFUSED);
    }
    expect((await instance.store.readState()).epoch).toBe(epoch);
    expect(await instance.manageServices.disable("public", "orders")).toMatchObject({ ok: true });
    // A service that only an earlier version names can be deleted, as can one that the current version no longer names.
    expect(await remove("billing", other)).toMatchObject({ ok: true });
    await apply("services: { inventory: {} }");
    expect(await remove("orders", other)).toMatchObject({ ok: true });
    expect(await remove("inventory", other)).toMatchObject({ ok: false, status: 409 });
  });

  it("can be deleted if the policy belongs to another app", async () => {
    await instance.manageApps.create("shop");
    await registerServices(instance.store, ["orders", "inventory"], "shop");
    await apply(FIRST, { app: "shop" });
    expect(await remove("orders")).toMatchObject({ ok: true });
  });

  it("causes a policy error if another instance deletes it while the policy is being read", async () => {
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
    itHere(
      "a service in the current policy exists, even if two instances delete it and apply the policy at the same time",
      async () => {
        const openStore = await place();
        const [one, other] = [await startInstance({ openStore }), await openInstance({ openStore })];
        await registerServices(one.store, ["orders", "inventory"]);
        const outcomes = new Set<string>();
        for (let round = 0; round < 40; round++) {
          if (round % 10 === 1) await remove("orders", one); // so that each one is sometimes first, on any machine
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
      },
    );
  });
});

it("every version is kept, with its author and time", async () => {
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

it("a difference shows what applying would change, and the version it was compared with", async () => {
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

it("a query accepts only valid service names and scopes", async () => {
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

it("a query agrees with the token endpoint: a disabled or deleted service gets no token", async () => {
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

it("S3 a stored policy that cannot be read allows no calls, and can be replaced", async () => {
  await apply(FIRST);
  for (const document of ['{"services":{"orders":{"calls":{"inventory":[]},"unlike":1}}}', "{", '{"services":{}}x']) {
    await instance.store.write((writer) => writer.policies.insert("public", document, "a later version"));
    await instance.state.refresh();
    expect([isAllowed("inventory"), isAllowed("billing")]).toEqual([false, false]);
  }
  expect(await apply(FIRST)).toMatchObject({ ok: true, value: { version: 5 } });
  expect(isAllowed("inventory")).toBe(true);
});

it("the current policy is read again only if it has changed", async () => {
  await apply(FIRST);
  const policy = instance.state.callPolicyOf("public");
  await instance.manageApps.create("shop");
  expect(instance.state.callPolicyOf("public")).toBe(policy);
  await apply(SECOND);
  expect(instance.state.callPolicyOf("public")).not.toBe(policy);
});
