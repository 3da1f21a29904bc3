import { beforeEach, expect, it } from "vitest";
import type { ClientKey } from "../../../src/domain/authentication/client-key.ts";
import type { Store } from "../../../src/ports/store.ts";
import { clientKey, EMPTY_CONTENT, trust, type StoreFixture } from "./fixture.ts";

export function describeClients(fixture: StoreFixture): void {
  const { epochNow, insertApps, open, snapshot, write } = fixture;
  const setKeys = (service: string, ...keys: ClientKey[]) =>
    write(({ clients }) => clients.replaceKeys("public", service, keys));
  /** Seconds since the epoch by the store's clock. */
  const secondsFromNow = async (seconds: number) => Math.floor((await fixture.store.readState()).now / 1000) + seconds;
  beforeEach(() =>
    write(async ({ apps, services }) => {
      for (const appId of ["public", "other"]) {
        await apps.insert(appId);
        for (const name of ["orders", "billing"]) await services.insert(appId, name);
      }
    }),
  );

  it("are returned as they were inserted, keys of a service are replaced together, and the epoch grows", async () => {
    const start = await epochNow();
    await setKeys("orders", clientKey({ kid: "a" }), clientKey({ kid: "b" }));
    await setKeys("billing", clientKey({ service: "billing" }));
    await setKeys("orders", clientKey({ kid: "c" }));
    await write(async ({ clients }) => {
      await clients.insertTrust(trust());
      await clients.insertTrust(trust({ appId: "other", jwks: '{"keys":[]}' }));
      expect(await clients.trustsIn("public")).toEqual([trust()]);
    });
    const { clientKeys, trusts } = await snapshot();
    expect(clientKeys).toEqual([clientKey({ kid: "c" }), clientKey({ service: "billing" })]);
    expect(trusts.map(({ appId, jwks }) => `${appId} ${jwks}`).sort()).toEqual(['other {"keys":[]}', "public null"]);
    expect(await epochNow()).toBe(start + 4);
    await setKeys("orders");
    expect((await snapshot()).clientKeys).toHaveLength(1);
  });

  it("S2 need a service, and are deleted with it and with its app", async () => {
    await expect(setKeys("ghost", clientKey({ service: "ghost" }))).rejects.toThrow();
    await expect(write(({ clients }) => clients.insertTrust(trust({ service: "ghost" })))).rejects.toThrow();
    await setKeys("orders", clientKey());
    await write(async ({ clients }) => {
      for (const one of [trust(), trust({ id: "u", service: "billing" }), trust({ appId: "other" })]) {
        await clients.insertTrust(one);
      }
      const deleted = [await clients.deleteTrust("other", "u"), await clients.deleteTrust("other", "t")];
      expect(deleted).toEqual([false, true]);
    });
    await write(({ services }) => services.delete("public", "orders"));
    const left = async () => {
      const { clientKeys, trusts } = await snapshot();
      return [clientKeys.length, trusts.map(({ id }) => id)];
    };
    expect(await left()).toEqual([0, ["u"]]);
    await write(({ apps }) => apps.delete("public"));
    expect(await left()).toEqual([0, []]);
  });

  it("S4 accept one use of an assertion until it expires, however many stores see it at the same time", async () => {
    const { store } = fixture;
    const start = await epochNow();
    const until = await secondsFromNow(60);
    const use = async (one: Store, digest: string, appId = "public") =>
      (await one.useOnce([{ appId, digest, until }]))[0];
    const stores = [store, await open(), await open()];
    const uses = await Promise.all(Array.from({ length: 12 }, (_, i) => use(stores[i % 3]!, "a")));
    expect(uses.filter((first) => first)).toHaveLength(1);
    const more = [await use(store, "b"), await use(store, "a", "other"), await use(store, "a")];
    expect(more).toEqual([true, true, false]);
    expect(await epochNow()).toBe(start);
    const expired = { appId: "public", digest: "expired", until: await secondsFromNow(-10) };
    // The check of its exp rejects an expired assertion, so the store does not have to.
    expect([await store.useOnce([expired]), await store.useOnce([expired])]).toEqual([[true], [true]]);
  });

  it("S4 accept each use once if batches overlap, in any order", async () => {
    const { store } = fixture;
    const until = await secondsFromNow(60);
    const uses = Array.from({ length: 90 }, (_, i) => ({ appId: "public", digest: `d${i % 60}`, until }));
    const other = await open();
    const batches = await Promise.all([
      store.useOnce(uses),
      other.useOnce(uses.toReversed()),
      store.useOnce(uses.slice(30)),
      other.useOnce(uses.slice(0, 30).toReversed()),
    ]);
    expect(batches.map((one) => one.length)).toEqual([90, 90, 60, 30]);
    expect(batches.flat().filter((first) => first)).toHaveLength(60);
    expect(await store.useOnce(uses)).toEqual(uses.map(() => false));
  });

  it("S4 still reject used assertions after the store's content was replaced", async () => {
    const { store } = fixture;
    const until = await secondsFromNow(60);
    const uses = ["public", "other"].map((appId) => ({ appId, digest: "a", until }));
    await store.useOnce(uses);
    const apps = (await store.readContent()).apps.filter(({ appId }) => appId === "public");
    await write((writer) => writer.replaceContent({ ...EMPTY_CONTENT, apps }));
    expect(await store.useOnce(uses.slice(0, 1))).toEqual([false]);
    await insertApps("other");
    expect(await store.useOnce(uses)).toEqual([false, true]);
  });

  it("delete expired uses on request, and only those", async () => {
    const { store } = fixture;
    const expired = { appId: "public", digest: "expired", until: await secondsFromNow(-10) };
    const current = { appId: "public", digest: "current", until: await secondsFromNow(60) };
    await store.useOnce([expired, current]);
    expect([await store.forgetUsed(), await store.forgetUsed()]).toEqual([1, 0]);
    expect(await store.useOnce([current, expired])).toEqual([false, true]);
  });
}
