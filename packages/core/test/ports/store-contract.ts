import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store, StoredKey } from "../../src/ports/store.ts";
import { fakeClock, NEW_YEAR, type FakeClock } from "../support/clock.ts";
import { storedKey } from "../support/stored-key.ts";

/** A place where stores can be opened, several on the same data. */
export interface StorePlace {
  /** Opens a store on the place's data. */
  open(clock: FakeClock): Promise<Store>;
}

/** What every store promises. Run once per adapter. */
export function describeStore(name: string, newPlace: () => Promise<StorePlace>): void {
  describe(`${name}, by the contract of stores`, () => {
    let clock: FakeClock;
    let place: StorePlace;
    let store: Store;
    const opened: Store[] = [];
    const open = async () => {
      const one = await place.open(clock);
      opened.push(one);
      return one;
    };
    beforeEach(async () => {
      clock = fakeClock();
      place = await newPlace();
      store = await open();
    });
    afterEach(async () => {
      for (const one of opened.splice(0)) await one.close();
    });

    const insert = (...keys: StoredKey[]) =>
      store.write(async (writer) => {
        for (const appId of new Set(keys.map((key) => key.appId))) {
          if (!(await writer.hasApp(appId))) await writer.insertApp(appId);
        }
        for (const key of keys) await writer.insertKey(key);
      });
    const plain = (keys: readonly StoredKey[]) =>
      keys.map((key) => ({ ...key, sealedPrivateKey: Buffer.from(key.sealedPrivateKey).toString("hex") }));

    it("begins empty, in its first generation, with the time of its clock", async () => {
      const { epoch, ...rest } = await store.readSnapshot();
      expect(rest).toEqual({ generation: 1, now: NEW_YEAR, appIds: [], keys: [] });
      expect(await store.readState()).toEqual({ epoch, generation: 1, now: NEW_YEAR });
      clock.advance(1_234);
      expect((await store.readState()).now).toBe(NEW_YEAR + 1_234);
      expect(await store.write(async (writer) => writer.now)).toBe(NEW_YEAR + 1_234);
    });

    it("gives back every member of a key as it was given", async () => {
      const keys = [
        storedKey({ kid: "s-1" }),
        storedKey({
          ...{
            kid: "d-1",
            kind: "dynamic",
            algorithm: "ES256",
            sequence: 9,
            createdAt: 1,
            signsFrom: 2,
            signsUntil: 3,
          },
          ...{ verifiesUntil: 253_402_300_799_000, revokedAt: 5, sealedPrivateKey: Buffer.of(0, 255, 0) },
          publicJwk: { kty: "EC", kid: "d-1", alg: "ES256", use: "sig", crv: "P-256", x: "\u{1f511}'\"", y: "\\" },
        }),
      ];
      await insert(...keys);
      const read = (await store.readSnapshot()).keys;
      expect(plain(read)).toEqual(plain(keys));
      const own = await store.write((writer) => writer.keysOf("public"));
      expect(plain(own.sort((a, b) => a.sequence - b.sequence))).toEqual(plain(keys));
      expect(read.every(Object.isFrozen)).toBe(true);
    });

    it("lists apps as they were made, and keys by sequence", async () => {
      for (const appId of ["zebra", "apple"]) {
        await insert(storedKey({ appId, kid: `${appId}-2`, sequence: 2 }), storedKey({ appId, kid: `${appId}-1` }));
        clock.advance(1);
      }
      const { appIds, keys } = await store.readSnapshot();
      expect(appIds).toEqual(["zebra", "apple"]);
      expect(keys.map((key) => key.sequence)).toEqual([1, 1, 2, 2]);
      expect((await store.write((writer) => writer.keysOf("apple"))).map((key) => key.appId)).toEqual([
        "apple",
        "apple",
      ]);
    });

    it("knows an app by its name and by nothing else (H8)", async () => {
      await insert(storedKey({ appId: "shop" }));
      await store.write(async (writer) => {
        for (const appId of ["SHOP", "shop ", "sho_", "%", "' or 1=1 --", "", "shop'; drop table apps; --"]) {
          expect(await writer.hasApp(appId)).toBe(false);
          expect(await writer.keysOf(appId)).toEqual([]);
          expect(await writer.deleteApp(appId)).toBe(false);
        }
      });
      expect((await store.readSnapshot()).appIds).toEqual(["shop"]);
    });

    it("removes an app with its keys, and nobody else's", async () => {
      await insert(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
      expect(await store.write((writer) => writer.deleteApp("one"))).toBe(true);
      expect(await store.write((writer) => writer.deleteApp("one"))).toBe(false);
      const { appIds, keys } = await store.readSnapshot();
      expect([appIds, keys.map((key) => key.appId)]).toEqual([["two"], ["two"]]);
    });

    it("removes one key of one app", async () => {
      await insert(storedKey({ appId: "one", kid: "k" }), storedKey({ appId: "two", kid: "k" }));
      await store.write((writer) => writer.deleteKey("one", "k"));
      expect((await store.readSnapshot()).keys.map((key) => key.appId)).toEqual(["two"]);
    });

    it("has one key of an app, kind, algorithm and sequence, and one of an app and kid (R7)", async () => {
      await insert(storedKey({ kid: "a" }));
      const before = await store.readState();
      await expect(insert(storedKey({ kid: "b" }))).rejects.toThrow();
      await expect(insert(storedKey({ kid: "a", sequence: 2 }))).rejects.toThrow();
      await expect(store.write((writer) => writer.insertApp("public"))).rejects.toThrow();
      expect(await store.readState()).toEqual(before);
      await insert(storedKey({ kid: "b", sequence: 2 }), storedKey({ kid: "c", kind: "dynamic" }));
      await insert(storedKey({ kid: "d", algorithm: "ES256" }), storedKey({ appId: "other", kid: "a" }));
      expect((await store.readSnapshot()).keys).toHaveLength(5);
    });

    it("has no key without its app", async () => {
      await expect(store.write((writer) => writer.insertKey(storedKey()))).rejects.toThrow();
      expect((await store.readSnapshot()).keys).toEqual([]);
    });

    it("grows its epoch with each transaction that changed something, and only then", async () => {
      const epoch = async () => (await store.readState()).epoch;
      const start = await epoch();
      await insert(storedKey({ kid: "a" }), storedKey({ kid: "b", sequence: 2 }));
      expect(await epoch()).toBe(start + 1);
      await store.write(async (writer) => {
        await writer.hasApp("public");
        await writer.keysOf("public");
        await writer.deleteApp("missing");
        await writer.deleteKey("public", "missing");
      });
      expect(await epoch()).toBe(start + 1);
      await store.write((writer) => writer.deleteKey("public", "a"));
      expect(await epoch()).toBe(start + 2);
      await store.write((writer) => writer.deleteApp("public"));
      expect(await epoch()).toBe(start + 3);
    });

    it("takes back everything of a transaction that fails, and goes on", async () => {
      const before = await store.readSnapshot();
      const failing = store.write(async (writer) => {
        await writer.insertApp("half");
        await writer.insertKey(storedKey({ appId: "half" }));
        throw new Error("on purpose");
      });
      await expect(failing).rejects.toThrow("on purpose");
      expect(await store.readSnapshot()).toEqual(before);
      await insert(storedKey());
      expect((await store.readSnapshot()).appIds).toEqual(["public"]);
    });

    it("lets nobody see a transaction before it is done", async () => {
      const reader = await open();
      await store.write(async (writer) => {
        await writer.insertApp("public");
        expect((await reader.readSnapshot()).appIds).toEqual([]);
        expect((await store.readSnapshot()).appIds).toEqual([]);
        expect(await writer.hasApp("public")).toBe(true);
      });
      expect((await reader.readSnapshot()).appIds).toEqual(["public"]);
    });

    it("runs transactions one after another, its own and another instance's (R7)", async () => {
      await insert(storedKey());
      const other = await open();
      const next = (one: Store) =>
        one.write(async (writer) => {
          const sequence = Math.max(...(await writer.keysOf("public")).map((key) => key.sequence)) + 1;
          await writer.insertKey(storedKey({ kid: `k-${sequence}`, sequence }));
        });
      await Promise.all(Array.from({ length: 20 }, (_, i) => next(i % 2 === 0 ? store : other)));
      const { keys } = await other.readSnapshot();
      expect(keys.map((key) => key.sequence)).toEqual(Array.from({ length: 21 }, (_, i) => i + 1));
    });

    it("never shows an epoch with rows of another one", async () => {
      await insert(storedKey({ sequence: 1 }));
      const reader = await open();
      const base = (await reader.readState()).epoch - 1;
      const writing = (async () => {
        for (let i = 2; i <= 20; i++) await insert(storedKey({ kid: `k-${i}`, sequence: i }));
      })();
      for (let i = 0; i < 40; i++) {
        const { epoch, keys } = await reader.readSnapshot();
        expect(keys).toHaveLength(epoch - base);
      }
      await writing;
    });

    it("keeps everything when it is closed and opened again", async () => {
      await insert(storedKey({ kid: "a" }));
      const before = await store.readSnapshot();
      for (const one of opened.splice(0)) await one.close();
      store = await open();
      expect(await store.readSnapshot()).toEqual(before);
    });
  });
}
