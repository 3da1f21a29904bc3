import { beforeEach, expect, it } from "vitest";
import type { Credential } from "../../../src/domain/authentication/credential.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { credential, type StoreFixture } from "./fixture.ts";

export function describeServices(fixture: StoreFixture): void {
  const { epochNow, insertApps, snapshot, write } = fixture;
  const register = (...names: string[]) =>
    write(async ({ services }) => {
      for (const name of names) await services.insert("public", name);
    });
  const add = (...credentials: Credential[]) =>
    write(async ({ services }) => {
      for (const one of credentials) await services.insertCredential(one);
    });
  const credentialsOf = (service: string, appId = "public") => fixture.store.readCredentials(appId, service);
  beforeEach(() => insertApps("public", "other"));

  it("are registered now, once per name and app", async () => {
    const start = await epochNow();
    await write(async ({ services, now }) => {
      const inserted = await services.insert("public", "orders");
      expect(inserted).toEqual({ appId: "public", name: "orders", createdAt: now, disabledAt: null });
      expect(await services.find("public", "orders")).toEqual(inserted);
    });
    expect(await epochNow()).toBe(start + 1);
    await expect(register("orders")).rejects.toThrow();
    await expect(write(({ services }) => services.insert("missing", "orders"))).rejects.toThrow();
    await write(({ services }) => services.insert("other", "orders"));
    await register("billing");
    await write(async ({ services }) => {
      expect([await services.count("public"), await services.count("other")]).toEqual([2, 1]);
      expect(await services.names("public")).toEqual(new Set(["billing", "orders"]));
      expect(await services.names("ghost")).toEqual(new Set());
      for (const name of ["Orders", "orders ", "%", "' or 1=1 --"]) {
        expect(await services.find("public", name)).toBeUndefined();
      }
    });
    const listed = (await snapshot()).services.map(({ appId, name }) => `${appId} ${name}`);
    expect(listed.sort()).toEqual(["other orders", "public billing", "public orders"]);
  });

  it("are disabled and enabled, and the epoch grows exactly when they are", async () => {
    await register("orders", "billing");
    const start = await epochNow();
    const seen = [];
    for (const disabledAt of [5, 5, null, null]) {
      await write(({ services }) => services.setDisabled("public", "orders", disabledAt));
      seen.push([(await snapshot()).services.map((one) => one.disabledAt), (await epochNow()) - start]);
    }
    expect(seen).toEqual([
      [[null, 5], 1],
      [[null, 5], 1],
      [[null, null], 2],
      [[null, null], 2],
    ]);
  });

  it("have credentials, returned as they were inserted and sorted by creation", async () => {
    await register("orders", "billing");
    const start = await epochNow();
    const dated = { createdAt: 2, expiresAt: 253_402_300_799_000, lastUsedAt: 7 };
    const [one, two] = [credential({ id: "b" }), credential({ id: "a", ...dated })];
    await add(two, one, credential({ service: "billing" }));
    expect(await epochNow()).toBe(start + 1);
    expect(await credentialsOf("orders")).toEqual([one, two]);
    expect(await write(({ services }) => services.credentialsOf("public", "orders"))).toEqual([one, two]);
    expect(await credentialsOf("orders", "other")).toEqual([]);
    expect((await snapshot()).credentials).toHaveLength(3);
  });

  it("S2 share no credential, and a credential needs its service", async () => {
    await register("orders", "billing");
    await add(credential());
    const taken = credential().digest;
    await expect(add(credential({ service: "billing", digest: taken }))).rejects.toThrow();
    await expect(add(credential())).rejects.toThrow();
    await expect(add(credential({ service: "ghost" }))).rejects.toThrow();
    await expect(add(credential({ appId: "other" }))).rejects.toThrow();
    expect((await snapshot()).credentials).toEqual([credential()]);
  });

  it("lose one credential, are deleted with all of them, and are deleted with their app", async () => {
    await register("orders", "billing");
    await write(({ services }) => services.insert("other", "orders"));
    await add(credential({ id: "a" }), credential({ id: "b" }), credential({ service: "billing", id: "a" }));
    await add(credential({ appId: "other" }));
    const left = async () => (await snapshot()).credentials.map((one) => one.service + one.id).sort();
    const deleteCredential = () => write(({ services }) => services.deleteCredential("public", "orders", "a"));
    expect([await deleteCredential(), await deleteCredential()]).toEqual([true, false]);
    expect(await left()).toEqual(["billinga", "ordersb", "ordersc"]);
    const deleteService = () => write(({ services }) => services.delete("public", "orders"));
    expect([await deleteService(), await deleteService()]).toEqual([true, false]);
    expect(await left()).toEqual(["billinga", "ordersc"]);
    await write(({ apps }) => apps.delete("public"));
    const { services, credentials } = await snapshot();
    expect([services, credentials].map((rows) => rows.map((row) => row.appId))).toEqual([["other"], ["other"]]);
  });

  it("remember the last use of credentials, never an earlier one, and without a change of the epoch", async () => {
    await register("orders", "billing");
    const many = Array.from({ length: 2_100 }, (_, i) => credential({ id: `c-${i}` }));
    await add(...many, credential({ service: "billing", id: "c-0" }));
    const start = await epochNow();
    const use = (id: string, usedAt: number) => ({ appId: "public", service: "orders", id, usedAt });
    const note = (...uses: ReturnType<typeof use>[]) => write(({ services }) => services.noteUses(uses));
    const used = async () => new Map((await credentialsOf("orders")).map((one) => [one.id, one.lastUsedAt]));
    await note(...many.map(({ id }, i) => use(id, NEW_YEAR + i)), use("' or 1=1 --", 1), use("gone", 1));
    expect(await used()).toEqual(new Map(many.map(({ id }, i) => [id, NEW_YEAR + i])));
    await note(use("c-0", NEW_YEAR - 1), use("c-1", NEW_YEAR + 9));
    expect([(await used()).get("c-0"), (await used()).get("c-1")]).toEqual([NEW_YEAR, NEW_YEAR + 9]);
    await note();
    expect((await credentialsOf("billing")).map((one) => one.lastUsedAt)).toEqual([null]);
    expect(await epochNow()).toBe(start);
  });
}
