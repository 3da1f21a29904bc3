import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createPublicKey, randomBytes, verify } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createEnvelopeVault } from "../../../src/adapters/vault/envelope-vault.ts";
import type { KeyVault } from "../../../src/ports/key-vault.ts";
import { StoreUnavailable, type Store } from "../../../src/ports/store.ts";
import { createManageApps } from "../../../src/use-cases/apps/manage-apps.ts";
import { createManageKeys } from "../../../src/use-cases/keys/manage-keys.ts";
import { createRevoke } from "../../../src/use-cases/revocation/revoke.ts";
import { fakeClock, NEW_YEAR } from "../../support/clock.ts";
import { openInstance, type Instance } from "../../support/instance.ts";
import { openPrivateKey } from "../../../src/crypto/private-keys.ts";
import { signBytes } from "../../../src/crypto/jws.ts";

const DAY = 86_400_000;
const sequences = (instance: Instance, appId = "public") =>
  instance.state.keysOf(appId).map((key) => `${key.kind} ${key.algorithm} ${key.sequence}`);

describe("provisionApp", () => {
  it("creates the app and the keys it needs to sign; the others follow", async () => {
    const instance = await openInstance();
    expect(await instance.rotateKeys.provisionApp("public")).toBe(true);
    expect(sequences(instance)).toEqual(["static ES256 1", "dynamic ES256 1"]);
    await instance.rotateKeys.rotateAll();
    expect(sequences(instance).sort()).toEqual(["dynamic ES256 1", "dynamic ES256 2", "static ES256 1"]);
  });

  it("changes nothing if everything exists", async () => {
    const instance = await openInstance();
    await instance.rotateKeys.provisionApp("public");
    await instance.rotateKeys.rotateAll();
    const epoch = instance.state.epoch;
    expect(await instance.rotateKeys.provisionApp("public")).toBe(false);
    await instance.rotateKeys.rotateAll();
    expect((await instance.store.readState()).epoch).toBe(epoch);
  });

  it("creates one app with one set of keys if sixteen instances run it at the same time (R7)", async () => {
    const clock = fakeClock();
    const first = await openInstance({ clock });
    const others = await Promise.all(Array.from({ length: 15 }, () => openInstance({ clock, dataDir: first.dataDir })));
    const all = [first, ...others];
    const created = await Promise.all(all.map((one) => one.rotateKeys.provisionApp("public")));
    expect(created.filter(Boolean)).toHaveLength(1);
    for (const one of all) {
      await one.state.refresh();
      expect(sequences(one)).toEqual(["static ES256 1", "dynamic ES256 1"]);
      expect(one.state.publishedSets("public")!.all.etag).toBe(first.state.publishedSets("public")!.all.etag);
    }
  });

  it("encrypts what it stores: the file contains no part of a private key (S8)", async () => {
    const instance = await openInstance({ rotation: { algorithms: ["RS256"] } });
    await instance.rotateKeys.provisionApp("public");
    const { keys } = await instance.store.readSnapshot();
    await instance.store.close();
    const file = await readFile(join(instance.dataDir, "countersign.db"));
    expect(file.includes(keys[0]!.kid)).toBe(true); // public values are there
    for (const key of keys) {
      const privateKey = await openPrivateKey(key, instance.vault);
      const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
      const { d, p, q } = privateKey.export({ format: "jwk" });
      for (const secret of [pkcs8, pkcs8.toString("base64url"), pkcs8.toString("hex"), d!, p!, q!]) {
        expect(file.includes(secret as string)).toBe(false);
      }
      for (const number of [d!, p!, q!]) expect(file.includes(Buffer.from(number, "base64url"))).toBe(false);
    }
    expect(instance.log.lines.join("\n")).toContain(keys[0]!.kid);
  });

  it("creates pairs: the published key verifies what the private key signs", async () => {
    const instance = await openInstance({ rotation: { algorithms: ["RS256", "ES256", "Ed25519"] } });
    await instance.rotateKeys.provisionApp("public");
    const data = Buffer.from("signed");
    for (const key of instance.state.keysOf("public")) {
      const signature = await signBytes(key.algorithm, await openPrivateKey(key, instance.vault), data);
      const publicKey = createPublicKey({ key: key.publicJwk as never, format: "jwk" });
      const digest = key.algorithm === "Ed25519" ? null : "sha256";
      expect(verify(digest, data, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature)).toBe(true);
      expect(key.publicJwk).toMatchObject({ kid: key.kid, alg: key.algorithm, use: "sig" });
      if (key.algorithm === "RS256")
        expect(publicKey.asymmetricKeyDetails).toEqual({ modulusLength: 2048, publicExponent: 65_537n });
    }
  });
});

describe("rotateAll", () => {
  it("creates each key on time over a year, and removes each after its end", async () => {
    const instance = await openInstance();
    const { clock, rotateKeys, state } = instance;
    await rotateKeys.provisionApp("public");
    const dates = new Map<string, string>();
    for (let day = 0; day < 365; day++) {
      await state.refresh();
      await rotateKeys.rotateAll();
      for (const key of state.keysOf("public")) {
        const own = JSON.stringify([key.signsFrom, key.signsUntil, key.verifiesUntil, key.publicJwk]);
        expect(dates.get(key.kid) ?? own).toBe(own);
        dates.set(key.kid, own);
        expect(key.verifiesUntil === null || key.verifiesUntil > clock.now()).toBe(true);
      }
      expect(state.signer("public", "dynamic", "ES256")?.signsFrom).toBe(NEW_YEAR + Math.floor(day / 7) * 7 * DAY);
      expect(state.publishedSets("public")!.all.keys.length).toBeLessThanOrEqual(8);
      clock.advance(DAY);
    }
    const made = [...dates.keys()];
    expect(made.filter((kid) => kid.startsWith("s-"))).toHaveLength(1);
    expect(made.filter((kid) => kid.startsWith("d-"))).toHaveLength(54); // 53 that signed, and the next one
    expect(instance.log.lines.filter((line) => line.includes("expired signing key removed")).length).toBe(54 - 7);
  });

  it("creates exactly one successor each time if eight instances run it at the same time (R7)", async () => {
    const clock = fakeClock();
    const first = await openInstance({ clock });
    await first.rotateKeys.provisionApp("public");
    const all = [first];
    while (all.length < 8) all.push(await openInstance({ clock, dataDir: first.dataDir }));
    for (let round = 1; round <= 10; round++) {
      await Promise.all(all.map((one) => one.state.refresh()));
      await Promise.all(all.map((one) => one.rotateKeys.rotateAll()));
      const keys = (await first.store.readSnapshot()).keys.filter((key) => key.kind === "dynamic");
      const last = keys.map((key) => key.sequence).sort((a, b) => b - a);
      expect(last[0]).toBe(round + 1);
      expect(new Set(last).size).toBe(last.length);
      clock.advance(7 * DAY);
    }
  });

  it("creates a new key immediately after a long absence if no live key is left", async () => {
    const instance = await openInstance();
    await instance.rotateKeys.provisionApp("public");
    await instance.rotateKeys.rotateAll();
    instance.clock.advance(400 * DAY);
    const late = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await late.rotateKeys.rotateAll();
    expect(sequences(late).sort()).toEqual(["dynamic ES256 3", "dynamic ES256 4", "static ES256 1"]);
    expect(late.state.signer("public", "dynamic", "ES256")).toMatchObject({
      sequence: 3,
      signsFrom: instance.clock.now(),
    });
  });

  it("keeps the dates of existing keys under another policy", async () => {
    const before = await openInstance();
    await before.rotateKeys.provisionApp("public");
    await before.rotateKeys.rotateAll();
    const old = before.state.keysOf("public").map((key) => JSON.stringify({ ...key, sealedPrivateKey: "" }));
    const rotation = { lead: 1_000_000, period: DAY, hold: DAY };
    const after = await openInstance({ dataDir: before.dataDir, clock: before.clock, rotation });
    before.clock.advance(8 * DAY);
    await after.state.refresh();
    await after.rotateKeys.rotateAll();
    const keys = after.state.keysOf("public");
    const now = keys.map((key) => JSON.stringify({ ...key, sealedPrivateKey: "" }));
    expect(now).toEqual(expect.arrayContaining(old));
    const third = keys.find((key) => key.kind === "dynamic" && key.sequence === 3)!;
    expect(third).toMatchObject({
      signsFrom: NEW_YEAR + 14 * DAY,
      signsUntil: NEW_YEAR + 15 * DAY,
      verifiesUntil: NEW_YEAR + 16 * DAY,
    });
  });

  it("does not bring back an app that another process has just removed", async () => {
    const instance = await openInstance();
    await instance.rotateKeys.provisionApp("gone");
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    await other.store.write((writer) => writer.apps.delete("gone"));
    await instance.rotateKeys.rotateAll(); // Its state still has the app, whose successor is due.
    expect((await instance.store.readSnapshot()).apps).toEqual([]);
    expect((await instance.store.readSnapshot()).keys).toEqual([]);
  });

  it("logs a key only once it is stored", async () => {
    let failing = true;
    const instance = await openInstance({
      storeOf: (real) => ({
        ...real,
        write: (work) =>
          real.write(async (writer) => {
            const result = await work(writer);
            if (failing) throw new StoreUnavailable("the commit failed");
            return result;
          }),
      }),
    });
    await expect(instance.rotateKeys.provisionApp("public")).rejects.toThrow(StoreUnavailable);
    expect(instance.log.lines).toEqual([]);
    failing = false;
    await instance.rotateKeys.provisionApp("public");
    const stored = (await instance.store.readSnapshot()).keys.map((key) => key.kid);
    expect(instance.log.lines).toHaveLength(stored.length);
    for (const kid of stored) expect(instance.log.lines.join("\n")).toContain(kid);
  });

  it("does not fail for one app because another app cannot get its keys", async () => {
    const vault = createEnvelopeVault([randomBytes(32)]);
    const instance = await openInstance({
      vault: {
        ...vault,
        masterKeyId: vault.masterKeyId,
        seal: async (plaintext, context) => {
          if (context.appId === "broken" && created) throw new Error("the vault refuses");
          return vault.seal(plaintext, context);
        },
      },
    });
    let created = false;
    await instance.rotateKeys.provisionApp("broken");
    await instance.rotateKeys.provisionApp("public");
    created = true; // its successor does not exist yet
    await expect(instance.rotateKeys.rotateAll()).rejects.toThrow("the vault refuses");
    const set = await instance.manageApps.setAlgorithms("public", ["ES256", "Ed25519"]);
    expect(set).toEqual({ ok: true, value: ["ES256", "Ed25519"] });
    expect(sequences(instance)).toContain("static Ed25519 1");
  });

  it("rotates the keys of every app", async () => {
    const instance = await openInstance();
    for (const appId of ["public", "one", "two"]) {
      await instance.rotateKeys.provisionApp(appId);
      instance.clock.advance(10);
    }
    await instance.rotateKeys.rotateAll();
    for (const appId of ["public", "one", "two"]) expect(sequences(instance, appId)).toHaveLength(3);
  });
});

describe("a store that fails to write new keys", () => {
  /** A store that fails on request, before the commit or after it. */
  function unsteady() {
    const self = {
      /** `next reading`, `no more writing`: from the next commit on. */
      fails: undefined as "writing" | "no more writing" | "reading" | "next reading" | undefined,
      writes: 0,
      storeOf: (real: Store): Store => ({
        ...real,
        async write(work) {
          self.writes++;
          if (self.fails !== "writing") {
            const result = await real.write(work);
            if (self.fails === "next reading") self.fails = "reading";
            if (self.fails === "no more writing") self.fails = "writing";
            return result;
          }
          return real.write(async (writer) => {
            await work(writer);
            throw new StoreUnavailable("the disk is full");
          });
        },
        readState: () => (self.fails === "reading" ? Promise.reject(new StoreUnavailable("away")) : real.readState()),
      }),
    };
    return self;
  }

  /** Counts the created private keys. */
  function countingVault() {
    const vault = createEnvelopeVault([randomBytes(32)]);
    const made = { count: 0 };
    const seal: KeyVault["seal"] = (plaintext, context) => {
      made.count++;
      return vault.seal(plaintext, context);
    };
    return { made, vault: { ...vault, masterKeyId: vault.masterKeyId, seal } };
  }

  it("R3 gets one write for one app per poll, and the next poll reuses the created key", async () => {
    const line = unsteady();
    const { made, vault } = countingVault();
    const instance = await openInstance({ storeOf: line.storeOf, vault });
    const apps = ["public", "one", "two", "three"];
    for (const appId of apps) await instance.rotateKeys.provisionApp(appId);
    const before = made.count;
    line.fails = "writing";
    line.writes = 0;
    for (let poll = 1; poll <= 5; poll++) {
      await expect(instance.rotateKeys.rotateAll()).rejects.toThrow(StoreUnavailable);
      expect([line.writes, made.count - before]).toEqual([poll, 1]);
    }
    line.fails = undefined;
    await instance.rotateKeys.rotateAll();
    expect(made.count - before).toBe(apps.length);
    for (const appId of apps) expect(sequences(instance, appId)).toHaveLength(3);
  });

  it("R18 gets no more writes once the core closes", async () => {
    const line = unsteady();
    const instance = await openInstance({ storeOf: line.storeOf });
    for (const appId of ["public", "one", "two"]) await instance.rotateKeys.provisionApp(appId);
    line.writes = 0;
    const closing = new AbortController();
    const rotating = instance.rotateKeys.rotateAll(closing.signal);
    closing.abort();
    await rotating;
    expect(line.writes).toBe(1); // the write in progress
  });

  it("reports a committed change as done even if the next read fails", async () => {
    const line = unsteady();
    const instance = await openInstance({ storeOf: line.storeOf });
    await instance.rotateKeys.provisionApp("public");
    const { state, rotateKeys, vault, store } = instance;
    const manageKeys = createManageKeys(state, rotateKeys, vault);
    const manageApps = createManageApps(store, state, rotateKeys);
    const revoke = createRevoke(store, state, async () => {});
    const cut = <T>(work: () => Promise<T>): Promise<T> => {
      line.fails = "next reading";
      return work();
    };
    const rotated = await cut(() => manageKeys.rotate("public", "static", "ES256", null));
    expect(rotated.ok && rotated.value.filter((key) => key.kind === "static").map((key) => key.state)).toEqual([
      "active",
      "prepared",
    ]);
    const { kid } = state.keysOf("public")[0]!;
    expect(await cut(() => manageKeys.revoke("public", kid))).toMatchObject({
      ok: true,
      value: { kid, state: "revoked" },
    });
    expect(await cut(() => manageApps.create("shop"))).toEqual({ ok: true, createdNew: true });
    line.fails = undefined;
    await state.refresh();
    const algorithms = ["ES256", "Ed25519"] as const;
    line.fails = "no more writing";
    expect(await manageApps.setAlgorithms("shop", algorithms)).toEqual({ ok: true, value: algorithms });
    expect(await cut(() => manageApps.remove("shop"))).toEqual({ ok: true, didExist: true });
    expect(await cut(() => revoke.service("public", "orders"))).toMatchObject({ ok: true });
    line.fails = undefined;
    await state.refresh();
    expect(state.feedOf("public")?.claims).toMatchObject({ services: [["orders", expect.any(Number)]], kids: [kid] });
  });
});
