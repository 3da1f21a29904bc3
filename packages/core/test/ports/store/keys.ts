import { beforeEach, describe, expect, it } from "vitest";
import type { KeyDates } from "../../../src/domain/keys/key-change.ts";
import { storedKey } from "../../support/stored-key.ts";
import { withHexKeys, type StoreFixture } from "./fixture.ts";

export function describeKeys(fixture: StoreFixture): void {
  const { content, epochNow, insertKeys, snapshot, write } = fixture;

  it("are returned as they were inserted, and frozen", async () => {
    const inserted = [
      storedKey({ kid: "s-1" }),
      storedKey({
        kid: "d-1",
        kind: "dynamic",
        algorithm: "ES256",
        sequence: 9,
        createdAt: 1,
        signsFrom: 2,
        signsUntil: 3,
        verifiesUntil: 253_402_300_799_000,
        revokedAt: 5,
        sealedPrivateKey: Buffer.of(0, 255, 0),
        publicJwk: { kty: "EC", kid: "d-1", alg: "ES256", use: "sig", crv: "P-256", x: "\u{1f511}'\"", y: "\\" },
      }),
    ];
    await insertKeys(...inserted);
    const read = (await snapshot()).keys;
    expect(withHexKeys(read)).toEqual(withHexKeys(inserted));
    expect(read.filter((key) => !Object.isFrozen(key))).toEqual([]);
    const own = await write(({ keys }) => keys.listIn("public"));
    expect(withHexKeys(own.sort((a, b) => a.sequence - b.sequence))).toEqual(withHexKeys(inserted));
  });

  it("are listed by sequence, in all apps or in one", async () => {
    for (const appId of ["zebra", "apple"]) {
      await insertKeys(storedKey({ appId, kid: `${appId}-2`, sequence: 2 }), storedKey({ appId, kid: `${appId}-1` }));
    }
    expect((await snapshot()).keys.map((key) => key.sequence)).toEqual([1, 1, 2, 2]);
    const own = await write(({ keys }) => keys.listIn("apple"));
    expect(own.map((key) => key.kid)).toEqual(["apple-1", "apple-2"]);
  });

  it("are deleted in one app only", async () => {
    await insertKeys(storedKey({ appId: "one", kid: "k" }), storedKey({ appId: "two", kid: "k" }));
    await write(({ keys }) => keys.delete("one", "k"));
    expect((await snapshot()).keys.map((key) => key.appId)).toEqual(["two"]);
  });

  it("are unique by kid, and by kind, algorithm and sequence, in their app (R7)", async () => {
    await insertKeys(storedKey({ kid: "a" }));
    const before = await epochNow();
    await expect(insertKeys(storedKey({ kid: "b" }))).rejects.toThrow();
    await expect(insertKeys(storedKey({ kid: "a", sequence: 2 }))).rejects.toThrow();
    expect(await epochNow()).toBe(before);
    await insertKeys(storedKey({ kid: "b", sequence: 2 }), storedKey({ kid: "c", kind: "dynamic" }));
    await insertKeys(storedKey({ kid: "d", algorithm: "ES256" }), storedKey({ appId: "other", kid: "a" }));
    expect((await snapshot()).keys).toHaveLength(5);
  });

  it("need an app", async () => {
    await expect(write(({ keys }) => keys.insert(storedKey()))).rejects.toThrow();
    expect((await snapshot()).keys).toEqual([]);
  });

  it("are re-encrypted one at a time, without other changes", async () => {
    const [one, two] = [storedKey({ kid: "a" }), storedKey({ kid: "b", sequence: 2 })];
    await insertKeys(one, two);
    const start = await epochNow();
    const sealedPrivateKey = Buffer.of(255, 0, 1, 2);
    await write(({ keys }) => keys.reseal("public", "a", sealedPrivateKey, "fedcba9876543210"));
    const resealed = { ...one, sealedPrivateKey, masterKeyId: "fedcba9876543210" };
    expect(withHexKeys((await snapshot()).keys)).toEqual(withHexKeys([resealed, two]));
    expect(await epochNow()).toBe(start + 1);
    await write(({ keys }) => keys.reseal("public", "missing", sealedPrivateKey, "fedcba9876543210"));
    expect(await epochNow()).toBe(start + 1);
  });

  describe("dates", () => {
    const dated = { kid: "d", kind: "dynamic", signsFrom: 100, signsUntil: 200, verifiesUntil: 300 } as const;
    const update = (kid: string, dates: KeyDates) => write(({ keys }) => keys.update("public", kid, dates));
    const keyOf = async (kid: string) => (await snapshot()).keys.find((key) => key.kid === kid)!;
    let start: number;
    beforeEach(async () => {
      await insertKeys(storedKey(dated), storedKey({ kid: "s", signsFrom: 100 }));
      start = await epochNow();
    });

    it("move earlier, only the given ones and only of the given key", async () => {
      const [before, other] = [await keyOf("d"), await keyOf("s")];
      await update("d", { signsFrom: 99, signsUntil: 150 });
      expect(await keyOf("d")).toEqual({ ...before, signsFrom: 99, signsUntil: 150 });
      await update("d", { verifiesUntil: 250, revokedAt: 180 });
      expect(await keyOf("d")).toEqual({
        ...before,
        signsFrom: 99,
        signsUntil: 150,
        verifiesUntil: 250,
        revokedAt: 180,
      });
      expect(await keyOf("s")).toEqual(other);
      expect(await epochNow()).toBe(start + 2);
    });

    it("can be set if the key has none", async () => {
      await update("s", { signsUntil: 500, verifiesUntil: 600, revokedAt: 700 });
      expect(await keyOf("s")).toMatchObject({ signsUntil: 500, verifiesUntil: 600, revokedAt: 700 });
    });

    it("never move later, and the transaction that tries changes nothing", async () => {
      await update("d", { revokedAt: 150 });
      const before = await content();
      for (const dates of [
        { signsFrom: 101 },
        { signsUntil: 201 },
        { signsUntil: null },
        { verifiesUntil: 301 },
        { verifiesUntil: null },
        { revokedAt: 151 },
        { revokedAt: null },
        { signsUntil: 1, verifiesUntil: 301 },
      ]) {
        await expect(update("d", dates)).rejects.toThrow(RangeError);
      }
      expect(await content()).toEqual(before);
    });

    it("leave the epoch alone if they are unchanged or the key is missing", async () => {
      await update("d", { signsFrom: 100, signsUntil: 200, verifiesUntil: 300, revokedAt: null });
      await update("d", {});
      await update("missing", { revokedAt: 1 });
      await write(({ keys }) => keys.update("missing", "d", { revokedAt: 1 }));
      expect(await epochNow()).toBe(start);
      expect(await keyOf("d")).toMatchObject({ ...dated, revokedAt: null });
    });
  });
}
