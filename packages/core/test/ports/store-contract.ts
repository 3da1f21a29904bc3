import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientKey } from "../../src/domain/authentication/client-key.ts";
import type { Credential } from "../../src/domain/authentication/credential.ts";
import type { KeyDates } from "../../src/domain/keys/key-change.ts";
import { DEFAULT_ROTATION } from "../../src/domain/keys/rotation.ts";
import type { WorkloadTrust } from "../../src/domain/authentication/workload-trust.ts";
import type { Store, StoreContent, StoredKey, StoreSnapshot } from "../../src/ports/store.ts";
import { fakeClock, NEW_YEAR, type FakeClock } from "../support/clock.ts";
import { storedKey } from "../support/stored-key.ts";

/** A place where stores can be opened, several on the same data. */
export interface StorePlace {
  /** Opens a store on the place's data. */
  open(clock: FakeClock): Promise<Store>;
}

/** What an engine may have otherwise than the others. */
export interface StoreTraits {
  /** Whether another store's change is told of, and not only found by a look. */
  readonly tells: boolean;
  /** Whether the store's clock is one that the test sets. */
  readonly settableClock: boolean;
}

export function appIdsOf({ apps }: StoreSnapshot): string[] {
  return apps.map((app) => app.appId);
}

const NONE = {
  ...{ apps: [], keys: [], revokedTokens: [], revokedServices: [], services: [], credentials: [] },
  ...{ clientKeys: [], trusts: [] },
};
const EMPTY: StoreContent = { ...NONE, policyVersions: [] };
/** The same as an instance keeps it. */
const NOTHING = { ...NONE, policies: [] };

function credential(facts: Partial<Credential> = {}): Credential {
  const named = { appId: "public", service: "orders", id: "c", ...facts };
  const digest = createHash("sha256").update(`${named.appId} ${named.service} ${named.id}`).digest("base64url");
  const { appId, service, id, ...dates } = named;
  return { appId, service, id, digest, createdAt: 1, expiresAt: null, lastUsedAt: null, ...dates };
}

function clientKey(facts: Partial<ClientKey> = {}): ClientKey {
  const jwk = { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) } as const;
  return { appId: "public", service: "orders", kid: "k", algorithm: "Ed25519", jwk, createdAt: 1, ...facts };
}

function trust(facts: Partial<WorkloadTrust> = {}): WorkloadTrust {
  const said = { issuer: "https://platform.test", subject: "repo:org/app:*", audience: "core", jwks: null };
  return { appId: "public", id: "t", service: "orders", ...said, createdAt: 1, ...facts };
}

/** What every store promises. Run once per adapter. */
export function describeStore(engine: string, traits: StoreTraits, newPlace: () => Promise<StorePlace>): void {
  describe(`${engine}, by the contract of stores`, () => {
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
          if ((await writer.apps.find(appId)) === undefined) await writer.apps.insert(appId);
        }
        for (const key of keys) await writer.keys.insert(key);
      });
    const epochNow = async () => (await store.readState()).epoch;
    /** Everything but the time. */
    const content = async () => {
      const { now: _, ...rest } = await store.readSnapshot();
      return rest;
    };
    const plain = (keys: readonly StoredKey[]) =>
      keys.map((key) => ({ ...key, sealedPrivateKey: Buffer.from(key.sealedPrivateKey).toString("hex") }));

    it("begins empty, in its first generation", async () => {
      const { epoch: first, now, ...rest } = await store.readSnapshot();
      expect(rest).toEqual({ generation: 1, ...NOTHING });
      expect(await store.readState()).toEqual({ epoch: first, generation: 1, now: expect.any(Number) });
      expect(Number.isInteger(now)).toBe(true);
    });

    if (traits.settableClock) {
      it("has the time of its clock (R8)", async () => {
        expect((await store.readSnapshot()).now).toBe(NEW_YEAR);
        clock.advance(1_234);
        expect((await store.readState()).now).toBe(NEW_YEAR + 1_234);
        expect(await store.write(async (writer) => writer.now)).toBe(NEW_YEAR + 1_234);
      });
    }

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
      const own = await store.write((writer) => writer.keys.listIn("public"));
      expect(plain(own.sort((a, b) => a.sequence - b.sequence))).toEqual(plain(keys));
      expect(read.every(Object.isFrozen)).toBe(true);
    });

    it("lists apps as they were made, and keys by sequence", async () => {
      for (const appId of ["zebra", "apple"]) {
        await insert(storedKey({ appId, kid: `${appId}-2`, sequence: 2 }), storedKey({ appId, kid: `${appId}-1` }));
        clock.advance(1);
      }
      const snapshot = await store.readSnapshot();
      const { keys } = snapshot;
      expect(appIdsOf(snapshot)).toEqual(["zebra", "apple"]);
      expect(keys.map((key) => key.sequence)).toEqual([1, 1, 2, 2]);
      expect((await store.write((writer) => writer.keys.listIn("apple"))).map((key) => key.appId)).toEqual([
        "apple",
        "apple",
      ]);
    });

    it("knows an app by its name and by nothing else (H8)", async () => {
      await insert(storedKey({ appId: "shop" }));
      await store.write(async (writer) => {
        for (const appId of ["SHOP", "shop ", "sho_", "%", "' or 1=1 --", "", "shop'; drop table apps; --"]) {
          expect(await writer.apps.find(appId)).toBeUndefined();
          expect(await writer.keys.listIn(appId)).toEqual([]);
          expect(await writer.apps.delete(appId)).toBe(false);
        }
      });
      expect(appIdsOf(await store.readSnapshot())).toEqual(["shop"]);
    });

    it("removes an app with its keys, and nobody else's", async () => {
      await insert(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
      expect(await store.write((writer) => writer.apps.delete("one"))).toBe(true);
      expect(await store.write((writer) => writer.apps.delete("one"))).toBe(false);
      const snapshot = await store.readSnapshot();
      expect([appIdsOf(snapshot), snapshot.keys.map((key) => key.appId)]).toEqual([["two"], ["two"]]);
    });

    it("removes one key of one app", async () => {
      await insert(storedKey({ appId: "one", kid: "k" }), storedKey({ appId: "two", kid: "k" }));
      await store.write((writer) => writer.keys.delete("one", "k"));
      expect((await store.readSnapshot()).keys.map((key) => key.appId)).toEqual(["two"]);
    });

    it("has one key of an app, kind, algorithm and sequence, and one of an app and kid (R7)", async () => {
      await insert(storedKey({ kid: "a" }));
      const before = await epochNow();
      await expect(insert(storedKey({ kid: "b" }))).rejects.toThrow();
      await expect(insert(storedKey({ kid: "a", sequence: 2 }))).rejects.toThrow();
      await expect(store.write((writer) => writer.apps.insert("public"))).rejects.toThrow();
      expect(await epochNow()).toBe(before);
      await insert(storedKey({ kid: "b", sequence: 2 }), storedKey({ kid: "c", kind: "dynamic" }));
      await insert(storedKey({ kid: "d", algorithm: "ES256" }), storedKey({ appId: "other", kid: "a" }));
      expect((await store.readSnapshot()).keys).toHaveLength(5);
    });

    it("has no key without its app", async () => {
      await expect(store.write((writer) => writer.keys.insert(storedKey()))).rejects.toThrow();
      expect((await store.readSnapshot()).keys).toEqual([]);
    });

    it("grows its epoch with each transaction that changed something, and only then", async () => {
      const start = await epochNow();
      await insert(storedKey({ kid: "a" }), storedKey({ kid: "b", sequence: 2 }));
      expect(await epochNow()).toBe(start + 1);
      await store.write(async (writer) => {
        await writer.apps.find("public");
        await writer.keys.listIn("public");
        await writer.apps.delete("missing");
        await writer.keys.delete("public", "missing");
      });
      expect(await epochNow()).toBe(start + 1);
      await store.write((writer) => writer.keys.delete("public", "a"));
      expect(await epochNow()).toBe(start + 2);
      await store.write((writer) => writer.apps.delete("public"));
      expect(await epochNow()).toBe(start + 3);
    });

    it("takes back everything of a transaction that fails, and goes on", async () => {
      const before = await content();
      const failing = store.write(async (writer) => {
        await writer.apps.insert("half");
        await writer.keys.insert(storedKey({ appId: "half" }));
        throw new Error("on purpose");
      });
      await expect(failing).rejects.toThrow("on purpose");
      expect(await content()).toEqual(before);
      await insert(storedKey());
      expect(appIdsOf(await store.readSnapshot())).toEqual(["public"]);
    });

    it("lets nobody see a transaction before it is done", async () => {
      const reader = await open();
      await store.write(async (writer) => {
        await writer.apps.insert("public");
        expect(appIdsOf(await reader.readSnapshot())).toEqual([]);
        expect(appIdsOf(await store.readSnapshot())).toEqual([]);
        expect(await writer.apps.find("public")).toMatchObject({ appId: "public", algorithms: null });
      });
      expect(appIdsOf(await reader.readSnapshot())).toEqual(["public"]);
    });

    it("runs transactions one after another, its own and another instance's (R7)", async () => {
      await insert(storedKey());
      const other = await open();
      const next = (one: Store) =>
        one.write(async (writer) => {
          const sequence = Math.max(...(await writer.keys.listIn("public")).map((key) => key.sequence)) + 1;
          await writer.keys.insert(storedKey({ kid: `k-${sequence}`, sequence }));
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

    describe("what an app signs with", () => {
      const algorithms = async () => (await store.readSnapshot()).apps.map((app) => app.algorithms);

      it("is what the core is configured to, then what was set, in that order, then the core's again", async () => {
        await store.write((writer) => writer.apps.insert("public"));
        expect(await algorithms()).toEqual([null]);
        await store.write((writer) => writer.apps.setAlgorithms("public", ["ES256", "RS256"]));
        expect(await algorithms()).toEqual([["ES256", "RS256"]]);
        await store.write(async (writer) => {
          expect(await writer.apps.find("public")).toMatchObject({ appId: "public", algorithms: ["ES256", "RS256"] });
          await writer.apps.setAlgorithms("public", null);
          expect(await writer.apps.find("public")).toMatchObject({ appId: "public", algorithms: null });
        });
        expect(await algorithms()).toEqual([null]);
      });

      it("is each app's own, and the epoch grows exactly when it changes", async () => {
        await store.write(async (writer) => {
          await writer.apps.insert("one");
          await writer.apps.insert("two");
        });
        const start = await epochNow();
        await store.write((writer) => writer.apps.setAlgorithms("one", ["Ed25519"]));
        expect([await algorithms(), await epochNow()]).toEqual([[["Ed25519"], null], start + 1]);
        await store.write((writer) => writer.apps.setAlgorithms("one", ["Ed25519"]));
        await store.write((writer) => writer.apps.setAlgorithms("two", null));
        await store.write((writer) => writer.apps.setAlgorithms("missing", ["RS256"]));
        expect([await algorithms(), await epochNow()]).toEqual([[["Ed25519"], null], start + 1]);
      });
    });

    describe("the dates of a key", () => {
      const dated = { kid: "d", kind: "dynamic", signsFrom: 100, signsUntil: 200, verifiesUntil: 300 } as const;
      const update = (kid: string, dates: KeyDates) =>
        store.write((writer) => writer.keys.update("public", kid, dates));
      const keyOf = async (kid: string) => (await store.readSnapshot()).keys.find((key) => key.kid === kid)!;
      let start: number;
      beforeEach(async () => {
        await insert(storedKey(dated), storedKey({ kid: "s", signsFrom: 100 }));
        start = await epochNow();
      });

      it("are brought nearer, those given and no other, of that key and no other", async () => {
        const [before, other] = [await keyOf("d"), await keyOf("s")];
        await update("d", { signsFrom: 99, signsUntil: 150 });
        expect(await keyOf("d")).toEqual({ ...before, signsFrom: 99, signsUntil: 150 });
        await update("d", { verifiesUntil: 250, revokedAt: 180 });
        expect(await keyOf("d")).toEqual({
          ...before,
          ...{ signsFrom: 99, signsUntil: 150, verifiesUntil: 250, revokedAt: 180 },
        });
        expect(await keyOf("s")).toEqual(other);
        expect(await epochNow()).toBe(start + 2);
      });

      it("that a key has not are given to it: without one, it was for ever", async () => {
        await update("s", { signsUntil: 500, verifiesUntil: 600, revokedAt: 700 });
        expect(await keyOf("s")).toMatchObject({ signsUntil: 500, verifiesUntil: 600, revokedAt: 700 });
      });

      it("never move later, and nothing else of that transaction happens then", async () => {
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

      it("that are the same as before, or of a key that is not there, change nothing", async () => {
        await update("d", { signsFrom: 100, signsUntil: 200, verifiesUntil: 300, revokedAt: null });
        await update("d", {});
        await update("missing", { revokedAt: 1 });
        await store.write((writer) => writer.keys.update("missing", "d", { revokedAt: 1 }));
        expect(await epochNow()).toBe(start);
        expect(await keyOf("d")).toMatchObject({ ...dated, revokedAt: null });
      });
    });

    it("seals one private key anew, and leaves everything else of it", async () => {
      const [one, two] = [storedKey({ kid: "a" }), storedKey({ kid: "b", sequence: 2 })];
      await insert(one, two);
      const start = await epochNow();
      const sealedPrivateKey = Buffer.of(255, 0, 1, 2);
      await store.write((writer) => writer.keys.reseal("public", "a", sealedPrivateKey, "fedcba9876543210"));
      const { keys } = await store.readSnapshot();
      expect(plain(keys)).toEqual(plain([{ ...one, sealedPrivateKey, masterKeyId: "fedcba9876543210" }, two]));
      expect(await epochNow()).toBe(start + 1);
      await store.write((writer) => writer.keys.reseal("public", "missing", sealedPrivateKey, "fedcba9876543210"));
      expect(await epochNow()).toBe(start + 1);
    });

    describe("revoked tokens", () => {
      const token = (jti: string, expiresAt = 2_000, appId = "public") => ({ appId, jti, expiresAt });
      const revoke = (...tokens: ReturnType<typeof token>[]) =>
        store.write(async (writer) => {
          for (const one of tokens) await writer.revocations.upsertToken(one);
        });
      const revoked = async () => {
        const { revokedTokens } = await store.readSnapshot();
        return [...revokedTokens].sort((a, b) => (a.appId + a.jti < b.appId + b.jti ? -1 : 1));
      };
      beforeEach(async () => {
        await store.write(async (writer) => {
          await writer.apps.insert("public");
          await writer.apps.insert("other");
        });
      });

      it("are there as they were given, whatever their names (H8)", async () => {
        const names = ["a", "A", "'; drop table revoked_tokens; --", "\u{1f511} \u00e9", "x".repeat(256)];
        await revoke(...names.map((jti) => token(jti)));
        expect((await revoked()).map((one) => one.jti).sort()).toEqual(names.sort());
        expect((await revoked())[0]).toEqual(token((await revoked())[0]!.jti));
      });

      it("R17 have the latest exp that was given for a jti, in their app, and the epoch grows exactly when it does", async () => {
        const start = await epochNow();
        const seen = [];
        for (const expiresAt of [2_000, 2_000, 9_999, 1_000]) {
          await revoke(token("a", expiresAt));
          seen.push([await revoked(), (await epochNow()) - start]);
        }
        expect(seen).toEqual([
          [[token("a")], 1],
          [[token("a")], 1],
          [[token("a", 9_999)], 2],
          [[token("a", 9_999)], 2],
        ]);
        await revoke(token("a", 3_000, "other"));
        expect(await revoked()).toEqual([token("a", 3_000, "other"), token("a", 9_999)]);
      });

      it("are read under the lock with the revoked services, app by app", async () => {
        await revoke(token("a"), token("b"), token("a", 1, "other"));
        await store.write(async (writer) => {
          await writer.revocations.upsertService({ appId: "other", service: "orders", notBefore: 7 });
          const own = await writer.revocations.listIn("public");
          expect({ ...own, tokens: new Set(own.tokens) }).toEqual({
            tokens: new Set([token("a"), token("b")]),
            services: [],
          });
          expect(await writer.revocations.listIn("other")).toEqual({
            tokens: [token("a", 1, "other")],
            services: [{ appId: "other", service: "orders", notBefore: 7 }],
          });
          expect(await writer.revocations.listIn("missing")).toEqual({ tokens: [], services: [] });
        });
      });

      it("are forgotten once they have expired, in every app, and not a second before", async () => {
        await revoke(token("a", 999), token("b", 1_000), token("c", 1_001), token("d", 5, "other"));
        const start = await epochNow();
        await store.write((writer) => writer.revocations.deleteExpiredTokens(1_000));
        expect([await epochNow(), (await revoked()).map((one) => one.jti)]).toEqual([start + 1, ["b", "c"]]);
        await store.write((writer) => writer.revocations.deleteExpiredTokens(1_000));
        expect(await epochNow()).toBe(start + 1);
      });

      it("are of an app that is there", async () => {
        await expect(revoke(token("a", 1, "missing"))).rejects.toThrow();
        expect(await revoked()).toEqual([]);
      });
    });

    describe("revoked services", () => {
      const service = (notBefore: number, name = "orders", appId = "public") => ({ appId, service: name, notBefore });
      const revoke = (one: ReturnType<typeof service>) =>
        store.write((writer) => writer.revocations.upsertService(one));
      beforeEach(async () => {
        await store.write(async (writer) => {
          await writer.apps.insert("public");
          await writer.apps.insert("other");
        });
      });

      it("go to a later moment and never back, and the epoch grows exactly when they do", async () => {
        const start = await epochNow();
        const seen = [];
        for (const notBefore of [100, 99, 100, 101, 1]) {
          await revoke(service(notBefore));
          seen.push([(await store.readSnapshot()).revokedServices, (await epochNow()) - start]);
        }
        expect(seen).toEqual([
          [[service(100)], 1],
          [[service(100)], 1],
          [[service(100)], 1],
          [[service(101)], 2],
          [[service(101)], 2],
        ]);
      });

      it("are each app's own, and of an app that is there", async () => {
        await revoke(service(100));
        await revoke(service(50, "orders", "other"));
        await revoke(service(60, "Orders"));
        const { revokedServices } = await store.readSnapshot();
        expect(revokedServices).toHaveLength(3);
        expect(revokedServices).toEqual(
          expect.arrayContaining([service(100), service(50, "orders", "other"), service(60, "Orders")]),
        );
        await expect(revoke(service(1, "orders", "missing"))).rejects.toThrow();
      });
    });

    describe("policies", () => {
      const apply = (document: string, appId = "public", appliedBy = "anna") =>
        store.write((writer) => writer.policies.insert(appId, document, appliedBy));
      beforeEach(async () => {
        await store.write(async (writer) => {
          await writer.apps.insert("public");
          await writer.apps.insert("other");
        });
      });

      it("are numbered in their app, and the last one is in force", async () => {
        const start = await epochNow();
        const first = await apply("one");
        expect(first).toEqual({
          ...{ appId: "public", version: 1, document: "one", appliedBy: "anna" },
          appliedAt: expect.any(Number),
        });
        clock.advance(5);
        const second = await apply("two", "public", "'; drop table policy_versions; -- \u{1f511}");
        const foreign = await apply("three", "other");
        expect([second.version, foreign.version, (await epochNow()) - start]).toEqual([2, 1, 3]);
        const { policies } = await (await open()).readSnapshot();
        expect([...policies].sort((a, b) => (a.appId < b.appId ? 1 : -1))).toEqual([second, foreign]);
        await store.write(async (writer) => {
          expect(await writer.policies.current("public")).toEqual(second);
          expect(await writer.policies.current("missing")).toBeUndefined();
        });
        if (traits.settableClock) expect(second.appliedAt - first.appliedAt).toBe(5);
      });

      it("are kept, every version of them: listed newest first, and read by number", async () => {
        const applied = [await apply("one"), await apply("two"), await apply("x".repeat(262_144))];
        await apply("other", "other");
        const listed = await store.readPolicyVersions("public");
        expect(listed.map((version, i) => ({ ...version, document: applied[2 - i]!.document }))).toEqual(
          applied.toReversed(),
        );
        expect(listed.some((version) => "document" in version)).toBe(false);
        expect(await store.readPolicyVersions("missing")).toEqual([]);
        for (const one of applied) expect(await store.readPolicy("public", one.version)).toEqual(one);
        for (const version of [0, -1, 4, 2 ** 53]) expect(await store.readPolicy("public", version)).toBeUndefined();
        const { policyVersions, epoch } = await store.readContent();
        expect([policyVersions.filter(({ appId }) => appId === "public"), epoch]).toEqual([applied, await epochNow()]);
      });

      it("of two that are applied at once have two numbers", async () => {
        const other = await open();
        const all = await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            (i % 2 === 0 ? store : other).write((writer) => writer.policies.insert("public", String(i), "anna")),
          ),
        );
        expect(all.map(({ version }) => version).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        expect((await store.readSnapshot()).policies[0]).toEqual(all.find(({ version }) => version === 10));
      });

      it("are of an app that is there, and go with it", async () => {
        await expect(apply("one", "missing")).rejects.toThrow();
        await apply("one");
        await apply("two", "other");
        await store.write((writer) => writer.apps.delete("public"));
        const left = (await store.readContent()).policyVersions.map(({ appId }) => appId);
        expect([left, await store.readPolicyVersions("public")]).toEqual([["other"], []]);
        await store.write((writer) => writer.apps.insert("public"));
        expect((await apply("three")).version).toBe(1);
      });
    });

    it("keeps the calls that were reported in an app as they were given, without growing its epoch", async () => {
      await store.write(async (writer) => {
        await writer.apps.insert("public");
        await writer.apps.insert("other");
      });
      const call = (scope: string | null, caller: string | undefined = "orders") => {
        return { caller, callee: caller && "stock", scope, count: 3, firstAt: 5, lastAt: 2 ** 40 };
      };
      const calls = [call(null), call("stock:read"), call("'; drop table reported_calls; --"), call(null, "cart")];
      const others = { ...call(null), caller: undefined, callee: undefined };
      const many = Array.from({ length: 1_000 }, (_, i) => call(`s${i}`));
      const byScope = <T extends { scope: string | null }>(rows: readonly T[]) =>
        rows.map((row) => JSON.stringify(row)).sort();
      const start = await epochNow();
      for (const rows of [calls, [others, ...many], [call("again")], []]) {
        await store.write((writer) => writer.policies.replaceReported("public", rows));
        expect(byScope(await store.readReported("public"))).toEqual(byScope(rows));
        await store.write(async (writer) => {
          expect(byScope(await writer.policies.reportedIn("public"))).toEqual(byScope(rows));
          await writer.policies.replaceReported("other", [call("theirs")]);
        });
      }
      expect([await epochNow(), await store.readReported("missing")]).toEqual([start, []]);
      await store.write((writer) => writer.apps.delete("other"));
      expect(await store.readReported("other")).toEqual([]);
    });

    it("removes with an app what was revoked in it, and nobody else's", async () => {
      await insert(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
      await store.write(async (writer) => {
        for (const appId of ["one", "two"]) {
          await writer.revocations.upsertToken({ appId, jti: "j", expiresAt: 9 });
          await writer.revocations.upsertService({ appId, service: "orders", notBefore: 9 });
        }
      });
      await store.write((writer) => writer.apps.delete("one"));
      const { apps, keys, revokedTokens, revokedServices } = await store.readSnapshot();
      const left = [apps, keys, revokedTokens, revokedServices].map((rows) => rows.map((row) => row.appId));
      expect(left).toEqual([["two"], ["two"], ["two"], ["two"]]);
    });

    describe("services", () => {
      const register = (...names: string[]) =>
        store.write(async ({ services }) => {
          for (const name of names) await services.insert("public", name);
        });
      const add = (...credentials: Credential[]) =>
        store.write(async ({ services }) => {
          for (const one of credentials) await services.insertCredential(one);
        });
      beforeEach(async () => {
        await store.write(async (writer) => {
          await writer.apps.insert("public");
          await writer.apps.insert("other");
        });
      });

      it("are registered now, by their names and their apps, each once", async () => {
        const start = await epochNow();
        await store.write(async ({ services, now }) => {
          const made = await services.insert("public", "orders");
          expect(made).toEqual({ appId: "public", name: "orders", createdAt: now, disabledAt: null });
          expect(await services.find("public", "orders")).toEqual(made);
        });
        expect(await epochNow()).toBe(start + 1);
        await expect(register("orders")).rejects.toThrow();
        await expect(store.write(({ services }) => services.insert("missing", "orders"))).rejects.toThrow();
        await store.write(({ services }) => services.insert("other", "orders"));
        await register("billing");
        await store.write(async ({ services }) => {
          expect([await services.count("public"), await services.count("other")]).toEqual([2, 1]);
          expect(await services.names("public")).toEqual(new Set(["billing", "orders"]));
          expect(await services.names("ghost")).toEqual(new Set());
          for (const name of ["Orders", "orders ", "%", "' or 1=1 --"]) {
            expect(await services.find("public", name)).toBeUndefined();
          }
        });
        const listed = (await store.readSnapshot()).services.map(({ appId, name }) => `${appId} ${name}`);
        expect(listed.sort()).toEqual(["other orders", "public billing", "public orders"]);
      });

      it("are disabled and enabled, and the epoch grows exactly when they are", async () => {
        await register("orders", "billing");
        const start = await epochNow();
        const seen = [];
        for (const disabledAt of [5, 5, null, null]) {
          await store.write(({ services }) => services.setDisabled("public", "orders", disabledAt));
          const { services } = await store.readSnapshot();
          seen.push([services.map((one) => one.disabledAt), (await epochNow()) - start]);
        }
        expect(seen).toEqual([
          [[null, 5], 1],
          [[null, 5], 1],
          [[null, null], 2],
          [[null, null], 2],
        ]);
      });

      it("have their credentials as they were given, in the order in which they were made", async () => {
        await register("orders", "billing");
        const start = await epochNow();
        const dated = { createdAt: 2, expiresAt: 253_402_300_799_000, lastUsedAt: 7 };
        const [one, two] = [credential({ id: "b" }), credential({ id: "a", ...dated })];
        await add(two, one, credential({ service: "billing" }));
        expect(await epochNow()).toBe(start + 1);
        expect(await store.readCredentials("public", "orders")).toEqual([one, two]);
        expect(await store.write(({ services }) => services.credentialsOf("public", "orders"))).toEqual([one, two]);
        expect(await store.readCredentials("other", "orders")).toEqual([]);
        expect((await store.readSnapshot()).credentials).toHaveLength(3);
      });

      it("S2 have a credential that is of one service only, and none without the service", async () => {
        await register("orders", "billing");
        await add(credential());
        const taken = credential().digest;
        await expect(add(credential({ service: "billing", digest: taken }))).rejects.toThrow();
        await expect(add(credential())).rejects.toThrow();
        await expect(add(credential({ service: "ghost" }))).rejects.toThrow();
        await expect(add(credential({ appId: "other" }))).rejects.toThrow();
        expect((await store.readSnapshot()).credentials).toEqual([credential()]);
      });

      it("lose one credential, all of them with themselves, and themselves with their app", async () => {
        await register("orders", "billing");
        await store.write(({ services }) => services.insert("other", "orders"));
        await add(credential({ id: "a" }), credential({ id: "b" }), credential({ service: "billing", id: "a" }));
        await add(credential({ appId: "other" }));
        const left = async () => (await store.readSnapshot()).credentials.map((one) => one.service + one.id).sort();
        const deleteCredential = (name: string, id: string) =>
          store.write(({ services }) => services.deleteCredential("public", name, id));
        expect([await deleteCredential("orders", "a"), await deleteCredential("orders", "a")]).toEqual([true, false]);
        expect(await left()).toEqual(["billinga", "ordersb", "ordersc"]);
        const remove = (name: string) => store.write(({ services }) => services.delete("public", name));
        expect([await remove("orders"), await remove("orders")]).toEqual([true, false]);
        expect(await left()).toEqual(["billinga", "ordersc"]);
        await store.write((writer) => writer.apps.delete("public"));
        const { services, credentials } = await store.readSnapshot();
        expect([services, credentials].map((rows) => rows.map((row) => row.appId))).toEqual([["other"], ["other"]]);
      });

      it("remember when credentials were used last, never an earlier moment, and without growing the epoch", async () => {
        await register("orders", "billing");
        const many = Array.from({ length: 2_100 }, (_, i) => credential({ id: `c-${i}` }));
        await add(...many, credential({ service: "billing", id: "c-0" }));
        const start = await epochNow();
        const use = (id: string, usedAt: number) => ({ appId: "public", service: "orders", id, usedAt });
        const note = (...uses: ReturnType<typeof use>[]) => store.write(({ services }) => services.noteUses(uses));
        await note(...many.map(({ id }, i) => use(id, NEW_YEAR + i)), use("' or 1=1 --", 1), use("gone", 1));
        const used = async () =>
          new Map((await store.readCredentials("public", "orders")).map((one) => [one.id, one.lastUsedAt]));
        expect(await used()).toEqual(new Map(many.map(({ id }, i) => [id, NEW_YEAR + i])));
        await note(use("c-0", NEW_YEAR - 1), use("c-1", NEW_YEAR + 9));
        expect([(await used()).get("c-0"), (await used()).get("c-1")]).toEqual([NEW_YEAR, NEW_YEAR + 9]);
        await note();
        expect((await store.readCredentials("public", "billing")).map((one) => one.lastUsedAt)).toEqual([null]);
        expect(await epochNow()).toBe(start);
      });
    });

    describe("keys and trusts of services", () => {
      beforeEach(async () => {
        await store.write(async (writer) => {
          for (const appId of ["public", "other"]) {
            await writer.apps.insert(appId);
            for (const name of ["orders", "billing"]) await writer.services.insert(appId, name);
          }
        });
      });
      const setKeys = (service: string, ...keys: ClientKey[]) =>
        store.write(({ clients }) => clients.replaceKeys("public", service, keys));

      it("are kept as they were given, keys replaced whole, and the epoch grows", async () => {
        const start = await epochNow();
        await setKeys("orders", clientKey({ kid: "a" }), clientKey({ kid: "b" }));
        await setKeys("billing", clientKey({ service: "billing" }));
        await setKeys("orders", clientKey({ kid: "c" }));
        await store.write(async ({ clients }) => {
          await clients.insertTrust(trust());
          await clients.insertTrust(trust({ appId: "other", jwks: '{"keys":[]}' }));
          expect(await clients.trustsIn("public")).toEqual([trust()]);
        });
        const { clientKeys, trusts } = await store.readSnapshot();
        expect(clientKeys).toEqual([clientKey({ kid: "c" }), clientKey({ service: "billing" })]);
        expect(trusts.map(({ appId, jwks }) => `${appId} ${jwks}`).sort()).toEqual([
          'other {"keys":[]}',
          "public null",
        ]);
        expect(await epochNow()).toBe(start + 4);
        await setKeys("orders");
        expect((await store.readSnapshot()).clientKeys).toHaveLength(1);
      });

      it("S2 are of a service that there is, and leave with it and with its app", async () => {
        await expect(setKeys("ghost", clientKey({ service: "ghost" }))).rejects.toThrow();
        await expect(store.write(({ clients }) => clients.insertTrust(trust({ service: "ghost" })))).rejects.toThrow();
        await setKeys("orders", clientKey());
        await store.write(async ({ clients }) => {
          for (const one of [trust(), trust({ id: "u", service: "billing" }), trust({ appId: "other" })]) {
            await clients.insertTrust(one);
          }
          expect([await clients.deleteTrust("other", "u"), await clients.deleteTrust("other", "t")]).toEqual([
            false,
            true,
          ]);
        });
        await store.write(({ services }) => services.delete("public", "orders"));
        const left = async () => {
          const { clientKeys, trusts } = await store.readSnapshot();
          return [clientKeys.length, trusts.map(({ id }) => id)];
        };
        expect(await left()).toEqual([0, ["u"]]);
        await store.write((writer) => writer.apps.delete("public"));
        expect(await left()).toEqual([0, []]);
      });

      it("S4 let one use of an assertion through, however many stores it is shown to at once, until it is of no use", async () => {
        const start = await epochNow();
        const { now } = await store.readState();
        const until = Math.floor(now / 1000) + 60;
        const use = async (one: Store, digest: string, appId = "public") =>
          (await one.useOnce([{ appId, digest, until }]))[0];
        const stores = [store, await open(), await open()];
        const uses = await Promise.all(Array.from({ length: 12 }, (_, i) => use(stores[i % 3]!, "a")));
        expect(uses.filter((first) => first)).toHaveLength(1);
        expect([await use(store, "b"), await use(store, "a", "other"), await use(store, "a")]).toEqual([
          true,
          true,
          false,
        ]);
        expect(await epochNow()).toBe(start);
        const over = { appId: "public", digest: "over", until: Math.floor(now / 1000) - 10 };
        const again = async () => (await store.useOnce([over]))[0];
        expect([await again(), await again()]).toEqual([true, true]); // nobody takes it for its own sake any more
      });

      it("S4 let one of many uses through that are told together, in whatever order other stores have them", async () => {
        const until = Math.floor((await store.readState()).now / 1000) + 60;
        const uses = Array.from({ length: 90 }, (_, i) => ({ appId: "public", digest: `d${i % 60}`, until }));
        const other = await open();
        const told = await Promise.all([
          ...[store.useOnce(uses), other.useOnce([...uses].reverse())],
          ...[store.useOnce(uses.slice(30)), other.useOnce(uses.slice(0, 30).reverse())],
        ]);
        expect(told.map((one) => one.length)).toEqual([90, 90, 60, 30]);
        expect(told.flat().filter((first) => first)).toHaveLength(60);
        expect((await store.useOnce(uses)).every((first) => !first)).toBe(true);
      });

      it("S4 let no used assertion through again after what a store has was replaced", async () => {
        const until = Math.floor((await store.readState()).now / 1000) + 60;
        const uses = ["public", "other"].map((appId) => ({ appId, digest: "a", until }));
        await store.useOnce(uses);
        const { apps } = await store.readContent();
        const left = apps.filter(({ appId }) => appId === "public");
        await store.write((writer) => writer.replaceContent({ ...EMPTY, apps: left }));
        expect(await store.useOnce(uses.slice(0, 1))).toEqual([false]);
        await store.write((writer) => writer.apps.insert("other"));
        expect(await store.useOnce(uses)).toEqual([false, true]);
      });

      it("forget what is of no use any more when they are told to, and nothing else", async () => {
        const { now } = await store.readState();
        const of = (digest: string, seconds: number) => ({
          ...{ appId: "public", digest, until: Math.floor(now / 1000) + seconds },
        });
        await store.useOnce([of("over", -10), of("good", 60)]);
        expect([await store.forgetUsed(), await store.forgetUsed()]).toEqual([1, 0]);
        expect(await store.useOnce([of("good", 60), of("over", -10)])).toEqual([false, true]);
      });
    });

    it("raises its generation to the time, the next number or above another one, and the epoch with it (R15)", async () => {
      const raise = async (above?: number) => {
        await store.write((writer) => writer.raiseGeneration(above));
        return (await (await open()).readState()).generation;
      };
      const start = await epochNow();
      const first = await raise();
      expect(first).toBeGreaterThanOrEqual(NEW_YEAR / 1000);
      expect(first).toBeLessThanOrEqual((await store.readState()).now / 1000);
      const second = await raise();
      expect(second).toBeGreaterThan(first);
      expect(await raise(second + 1_000_000)).toBe(second + 1_000_001);
      expect(await raise(5)).toBe(second + 1_000_002);
      expect(await epochNow()).toBe(start + 4);
    });

    it("tells under the lock which order it has, and which apps", async () => {
      await insert(storedKey({ appId: "one" }));
      const { epoch: before, generation } = await store.readState();
      await store.write(async (writer) => {
        await writer.apps.insert("two");
        expect(await writer.order()).toEqual({ epoch: before, generation });
        expect((await writer.apps.list()).map((app) => app.appId).sort()).toEqual(["one", "two"]);
      });
    });

    it("makes an app now, with nothing that is due", async () => {
      await store.write(async (writer) => {
        await writer.apps.insert("new");
        const facts = { appId: "new", createdAt: writer.now, algorithms: null, rotationDue: false };
        expect(await writer.apps.find("new")).toEqual(facts);
      });
    });

    it("R15 with a new generation every app's rotation is due, until it is said to be done", async () => {
      await insert(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
      const due = async () =>
        (await store.readSnapshot()).apps.filter((app) => app.rotationDue).map((app) => app.appId);
      expect(await due()).toEqual([]);
      const told = await store.write((writer) => writer.raiseGeneration());
      expect((await store.readState()).generation).toBe(told);
      expect((await due()).sort()).toEqual(["one", "two"]);
      await store.write(async (writer) => {
        await writer.apps.endRotationDue("one");
        await writer.apps.insert("three");
      });
      expect(await due()).toEqual(["two"]);
    });

    it("takes a whole content in the place of its own, however large, and keeps its order", async () => {
      await insert(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
      await store.write(async (writer) => {
        await writer.revocations.upsertToken({ appId: "one", jti: "j", expiresAt: 9 });
        await writer.revocations.upsertService({ appId: "two", service: "orders", notBefore: 9 });
      });
      const { epoch: before, generation } = await store.readState();
      await store.write((writer) => writer.replaceContent(EMPTY));
      expect(await content()).toEqual({ ...NOTHING, epoch: before + 1, generation });

      const names = Array.from({ length: 2_500 }, (_, i) => `app-${String(i).padStart(4, "0")}`);
      const document = '{"services":{}}';
      const many = {
        apps: names.map((appId, i) => ({ appId, createdAt: i, algorithms: i === 7 ? (["Ed25519"] as const) : null })),
        keys: names.map((appId, sequence) => storedKey({ appId, sequence, kid: `k-${appId}` })),
        revokedTokens: names.map((jti, expiresAt) => ({
          ...{ appId: "app-0000", jti, expiresAt },
          ...(expiresAt % 2 === 0 ? {} : { service: "orders" }),
        })),
        revokedServices: names.map((service, notBefore) => ({ appId: "app-0001", service, notBefore })),
        services: names.map((name, i) => ({ appId: "app-0002", name, createdAt: i, disabledAt: i % 2 ? i : null })),
        credentials: names.map((service, i) => credential({ appId: "app-0002", service, id: `c-${i}`, createdAt: i })),
        policyVersions: names.map((name, i) => {
          const appId = i % 2 === 0 ? name : names[i - 1]!;
          return { appId, version: (i % 2) + 1, appliedAt: i, appliedBy: "anna", document };
        }),
        clientKeys: names.map((service, i) => clientKey({ appId: "app-0002", service, createdAt: i })),
        trusts: names.map((service, i) => trust({ appId: "app-0002", service, id: `t-${i}`, createdAt: i })),
      };
      await store.write((writer) => writer.replaceContent(many));
      const read = await store.readSnapshot();
      expect(read.epoch).toBe(before + 2);
      expect(read.apps).toEqual(many.apps.map((app) => ({ ...app, rotationDue: false })));
      expect(plain(read.keys)).toEqual(plain(many.keys));
      const byName = <T extends object>(rows: readonly T[]) => rows.map((row) => JSON.stringify(row)).sort();
      expect(byName(read.revokedTokens)).toEqual(byName(many.revokedTokens));
      expect(byName(read.revokedServices)).toEqual(byName(many.revokedServices));
      expect(byName(read.services)).toEqual(byName(many.services));
      expect(byName(read.credentials)).toEqual(byName(many.credentials));
      expect(byName(read.clientKeys)).toEqual(byName(many.clientKeys));
      expect(byName(read.trusts)).toEqual(byName(many.trusts));
      expect(byName(read.policies)).toEqual(byName(many.policyVersions.filter(({ version }) => version === 2)));
      expect(byName((await store.readContent()).policyVersions)).toEqual(byName(many.policyVersions));
    });

    it("keeps the rotation that its cores go by, through everything but another one, and without growing its epoch", async () => {
      const start = await epochNow();
      expect((await store.readSnapshot()).rotation).toBeUndefined();
      for (const rotation of [
        DEFAULT_ROTATION,
        { ...DEFAULT_ROTATION, lead: 1, algorithms: ["ES256", "RS256"] as const },
      ]) {
        await store.write((writer) => writer.setRotation(rotation));
        expect((await (await open()).readSnapshot()).rotation).toEqual(rotation);
      }
      expect(await epochNow()).toBe(start);
      await store.write(async (writer) => {
        await writer.replaceContent(EMPTY);
        await writer.raiseGeneration();
      });
      expect((await store.readSnapshot()).rotation).toMatchObject({ lead: 1, algorithms: ["ES256", "RS256"] });
    });

    describe("watching", () => {
      if (traits.tells) {
        it("tells of another store's change within a second, and of nothing once it is stopped", async () => {
          const other = await open();
          let [told, stopped] = [0, 0];
          store.watch(() => told++);
          const stop = store.watch(() => stopped++);
          await vi.waitFor(() => expect([told, stopped]).toEqual([1, 1])); // it listens now
          stop();
          const began = performance.now();
          await other.write((writer) => writer.apps.insert("public"));
          await vi.waitFor(() => expect(told).toBe(2), { interval: 5 });
          expect(performance.now() - began).toBeLessThan(1_000);
          // What changes nothing is not worth a word; what comes after it shows that nothing was said.
          await other.write((writer) => writer.keys.listIn("public"));
          await other.write((writer) => writer.apps.delete("public"));
          await vi.waitFor(() => expect(told).toBe(3), { interval: 5 });
          expect(stopped).toBe(1);
        });
      }

      it("can be stopped, twice as well, and looks are not far apart", () => {
        const stop = store.watch(() => {});
        stop();
        stop();
        expect(store.pollInterval).toBeGreaterThanOrEqual(500);
        expect(store.pollInterval).toBeLessThanOrEqual(5_000);
      });
    });

    it("keeps everything when it is closed and opened again", async () => {
      await insert(storedKey({ kid: "a" }));
      const before = await content();
      for (const one of opened.splice(0)) await one.close();
      store = await open();
      expect(await content()).toEqual(before);
    });
  });
}
