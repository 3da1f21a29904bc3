import { beforeEach, describe, expect, it } from "vitest";
import type { ChangeResult } from "../../../src/domain/change-result.ts";
import type { NewCredential } from "../../../src/use-cases/services/manage-services.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { openInstance, startInstance, type Instance } from "../../support/instance.ts";

const MINUTE = 60_000;

let instance: Instance;
beforeEach(async () => {
  instance = await startInstance();
});

function valueOf<T>(managed: ChangeResult<T>): T {
  if (!managed.ok) throw new Error(managed.problem);
  return managed.value;
}
const refusalOf = (managed: ChangeResult<unknown>) => (managed.ok ? undefined : [managed.status, managed.problem]);
const add = async (name: string, expiresAt: number | null = null): Promise<NewCredential> =>
  valueOf(await instance.manageServices.addCredential("public", name, expiresAt));

describe("services", () => {
  it("are registered, listed by name, disabled, enabled and deleted", async () => {
    const { manageServices, clock } = instance;
    for (const name of ["orders", "billing"]) valueOf(await manageServices.register("public", name));
    await add("orders");
    clock.advance(MINUTE);
    const later = new Date(NEW_YEAR + MINUTE).toISOString();
    const orders = {
      ...{ name: "orders", state: "enabled", createdAt: new Date(NEW_YEAR).toISOString() },
      ...{ disabledAt: null, credentials: 1 },
    };
    expect(manageServices.list("public")).toEqual([{ ...orders, name: "billing", credentials: 0 }, orders]);
    const disabled = { ...orders, state: "disabled", disabledAt: later };
    expect(valueOf(await manageServices.disable("public", "orders"))).toEqual(disabled);
    clock.advance(MINUTE);
    expect(valueOf(await manageServices.disable("public", "orders"))).toEqual(disabled); // since the first time
    expect(valueOf(manageServices.find("public", "orders"))).toEqual(disabled);
    expect(valueOf(await manageServices.enable("public", "orders"))).toEqual(orders);
    expect(valueOf(await manageServices.delete("public", "orders"))).toEqual({ name: "orders" });
    expect(manageServices.list("public").map((service) => service.name)).toEqual(["billing"]);
  });

  it("are rejected with an invalid or existing name, and in an unknown app", async () => {
    const { manageServices } = instance;
    valueOf(await manageServices.register("public", "orders"));
    expect(refusalOf(await manageServices.register("public", "Orders"))).toEqual([
      400,
      expect.stringMatching(/1 to 63/),
    ]);
    expect(refusalOf(await manageServices.register("public", "orders"))).toEqual([
      409,
      expect.stringMatching(/already/),
    ]);
    expect(refusalOf(await manageServices.register("ghost", "orders"))).toEqual([404, expect.stringMatching(/app/)]);
  });

  it("are not created by a change to an unknown service (S2)", async () => {
    const { manageServices, rotateKeys, store } = instance;
    valueOf(await manageServices.register("public", "orders"));
    const { id } = await add("orders");
    await rotateKeys.provisionApp("other");
    const { epoch } = await store.readState();
    const answers = [
      manageServices.find("other", "orders"),
      await manageServices.disable("other", "orders"),
      await manageServices.enable("other", "orders"),
      await manageServices.delete("other", "orders"),
      await manageServices.credentialsOf("other", "orders"),
      await manageServices.addCredential("other", "orders", null),
      await manageServices.revokeCredential("other", "orders", id),
    ];
    expect(answers.map(refusalOf)).toEqual(answers.map(() => [404, "service not found"]));
    expect(refusalOf(await manageServices.revokeCredential("public", "orders", "0"))).toEqual([
      404,
      "credential not found",
    ]);
    expect((await store.readState()).epoch).toBe(epoch);
  });

  it("are limited to 10,000 per app", async () => {
    const { manageServices, store, state } = instance;
    await store.write(async ({ services }) => {
      for (let i = 0; i < 9_999; i++) await services.insert("public", `service-${i}`);
    });
    await state.refresh();
    valueOf(await manageServices.register("public", "the-last-one"));
    expect(refusalOf(await manageServices.register("public", "one-more"))).toEqual([
      409,
      expect.stringMatching(/10000/),
    ]);
    valueOf(await manageServices.delete("public", "service-0"));
    valueOf(await manageServices.register("public", "one-more"));
    expect(manageServices.list("public")).toHaveLength(10_000);
  });
});

describe("credentials", () => {
  beforeEach(async () => {
    valueOf(await instance.manageServices.register("public", "orders"));
  });
  const listed = async () => valueOf(await instance.manageServices.credentialsOf("public", "orders"));

  it("are shown once, have 256 random bits, and are stored as a digest only (S1)", async () => {
    const { store, log } = instance;
    const [one, two] = [await add("orders"), await add("orders")];
    for (const { credential } of [one, two]) {
      expect(credential).toMatch(/^cs_orders_[A-Za-z0-9_-]{43}$/);
      const kept = JSON.stringify([await store.readSnapshot(), await listed(), log.lines]);
      expect(kept).not.toContain(credential.slice("cs_orders_".length));
    }
    expect(one.credential).not.toBe(two.credential);
    expect(one.id).not.toBe(two.id);
  });

  it("can overlap, so that one replaces another without downtime", async () => {
    const { manageServices, authenticate } = instance;
    const good = (credential: string) => authenticate(credential, "public") !== undefined;
    const old = await add("orders");
    const young = await add("orders");
    expect([good(old.credential), good(young.credential)]).toEqual([true, true]);
    valueOf(await manageServices.revokeCredential("public", "orders", old.id));
    expect([good(old.credential), good(young.credential)]).toEqual([false, true]);
  });

  it("are listed with their creation, expiry and last use", async () => {
    const { clock, authenticate } = instance;
    const [first, second] = [await add("orders"), await add("orders", NEW_YEAR + 2 * MINUTE)];
    clock.advance(MINUTE);
    authenticate(first.credential, "public");
    const date = (minutes: number) => new Date(NEW_YEAR + minutes * MINUTE).toISOString();
    const made = { state: "active", createdAt: date(0), expiresAt: null, lastUsedAt: null };
    const both = (await listed()).sort((a, b) => (a.id === first.id ? -1 : b.id === first.id ? 1 : 0));
    expect(both).toEqual([
      { ...made, id: first.id, lastUsedAt: date(1) },
      { ...made, id: second.id, expiresAt: date(2) },
    ]);
    clock.advance(MINUTE);
    authenticate(second.credential, "public"); // too late
    expect((await listed()).find((one) => one.id === second.id)).toMatchObject({ state: "expired", lastUsedAt: null });
  });

  it("are limited to ten per service, and expired ones make room", async () => {
    const { manageServices, clock } = instance;
    for (let i = 0; i < 10; i++) await add("orders", i < 2 ? NEW_YEAR + MINUTE : null);
    const more = () => manageServices.addCredential("public", "orders", null);
    expect(refusalOf(await more())).toEqual([409, expect.stringMatching(/at most 10 credentials/)]);
    clock.advance(MINUTE);
    valueOf(await more());
    expect(await listed()).toHaveLength(9);
  });

  it("cannot expire before they are created", async () => {
    const { manageServices } = instance;
    expect(refusalOf(await manageServices.addCredential("public", "orders", NEW_YEAR))).toEqual([
      400,
      expect.stringMatching(/expiresAt/),
    ]);
  });

  it("are accepted and rejected by another instance after its next poll", async () => {
    const { dataDir, clock, manageServices } = instance;
    const other = await openInstance({ dataDir, clock });
    const { credential, id } = await add("orders");
    const goodThere = async () => {
      await other.state.refresh();
      return other.authenticate(credential, "public") !== undefined;
    };
    expect(await goodThere()).toBe(true);
    await manageServices.revokeCredential("public", "orders", id);
    expect(await goodThere()).toBe(false);
  });
});
