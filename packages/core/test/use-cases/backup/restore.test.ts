// R15 without processes, on both databases.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { isEarlier } from "countersign/protocol";
import { describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../../src/composition/open-store.ts";
import { StoreUnavailable, type Store, type StoreSnapshot } from "../../../src/ports/store.ts";
import { digestOf } from "../../../src/crypto/digest.ts";
import { createTakeBackup, readBackup } from "../../../src/use-cases/backup/backup.ts";
import { createNoticeRestore, createRestore } from "../../../src/use-cases/backup/restore.ts";
import { InstanceState } from "../../../src/state/instance-state.ts";
import { createRotateKeys } from "../../../src/use-cases/keys/rotate-keys.ts";
import { StoreClock } from "../../../src/state/store-clock.ts";
import { createEnvelopeVault } from "../../../src/adapters/vault/envelope-vault.ts";
import { DEFAULT_ROTATION } from "../../../src/domain/keys/rotation.ts";
import { recordedLog } from "../../support/log.ts";
import { itOnPostgres, sharedPostgres } from "../../support/postgres.ts";
import { openDatabase } from "../../support/sqlite.ts";
import { tempDir } from "../../support/temp-dir.ts";

const vault = createEnvelopeVault([Buffer.alloc(32, 5)]);
const policy = { ...DEFAULT_ROTATION, algorithms: ["ES256"] as const };

interface Place {
  open(): Promise<Store>;
  /** Runs statements outside of any core, in one transaction. */
  run(statements: readonly string[]): Promise<void>;
}

async function onSqlite(): Promise<Place> {
  const dataDir = join(await tempDir(), "data");
  return {
    open: () => openStore({ dataDir, database: undefined, poolSize: 2, now: Date.now }),
    async run(statements) {
      const database = await openDatabase(join(dataDir, "countersign.db"));
      database.exec(["begin immediate", ...statements, "commit"].join(";"));
      database.close();
    },
  };
}

async function onPostgres(): Promise<Place> {
  const server = await sharedPostgres();
  const database = await server.newDatabase();
  return {
    open: () => openStore({ dataDir: "", database, poolSize: 4, now: Date.now }),
    async run(statements) {
      await server.query(database, ["begin", ...statements, "commit"].join(";"));
    },
  };
}

async function openInstance(place: Place, storeOf = (real: Store) => real) {
  const real = await place.open();
  onTestFinished(() => real.close());
  const store = storeOf(real);
  const state = new InstanceState(store, vault, new StoreClock(() => performance.now()), policy);
  const log = recordedLog();
  const rotateKeys = createRotateKeys({ store, vault, state, log });
  await state.refresh();
  const noticeRestore = createNoticeRestore(store, state, log);
  const poll = async () => {
    await state.refresh();
    await noticeRestore();
    await rotateKeys.rotateAll();
  };
  return { store, state, rotateKeys, log, restore: createRestore(store, log), poll };
}

function contentOf({ apps, keys, ...rest }: StoreSnapshot) {
  const { revokedTokens, revokedServices, services, credentials } = rest;
  return {
    apps: apps.map(({ appId, createdAt, algorithms }) => ({ appId, createdAt, algorithms })),
    keys: keys.map((key) => [key.kid, Buffer.from(key.sealedPrivateKey)]),
    revokedTokens,
    revokedServices,
    services,
    credentials,
  };
}

describe.each([
  ["SQLite", it, onSqlite],
  ["PostgreSQL", itOnPostgres, onPostgres],
] as const)("a restore on %s", (_, itHere, open) => {
  itHere("R15 restores everything in the backup, in a higher generation than any before", async () => {
    const place = await open();
    const one = await openInstance(place);
    for (const appId of ["public", "shop"]) await one.rotateKeys.provisionApp(appId);
    await one.rotateKeys.rotateAll();
    await one.store.write(async (writer) => {
      await writer.apps.setAlgorithms("shop", ["Ed25519", "ES256"]);
      await writer.revocations.upsertToken({ appId: "shop", jti: "j", expiresAt: 4_000_000_000, service: "orders" });
      await writer.revocations.upsertService({ appId: "public", service: "orders", notBefore: 7 });
      await writer.services.insert("shop", "orders");
      await writer.services.setDisabled("shop", "orders", 9);
      const dates = { createdAt: 1, expiresAt: null, lastUsedAt: 5 };
      const digest = digestOf("cs_orders_random");
      await writer.services.insertCredential({ appId: "shop", service: "orders", id: "c", digest, ...dates });
      for (const document of ['{"services":{}}', '{"services":{"orders":{}}}']) {
        await writer.policies.insert("shop", document, "anna");
      }
    });
    const kept = contentOf(await one.store.readSnapshot());
    const { policyVersions } = await one.store.readContent();
    expect(policyVersions.map(({ version }) => version)).toEqual([1, 2]);
    const read = readBackup(JSON.stringify(await createTakeBackup(one.store)()));
    if (!read.ok) throw new Error(read.problem);

    await one.store.write((writer) => writer.apps.delete("shop"));
    await one.store.write((writer) => writer.raiseGeneration(5_000_000_000));
    await one.state.refresh();
    const before = await one.store.readState();
    expect(await one.restore(read.backup, false)).toMatchObject({ ok: false, status: 409 });
    expect(await one.restore(read.backup, true)).toMatchObject({
      ok: true,
      value: { apps: 2, generation: 5_000_000_002 },
    });
    const after = await one.store.readSnapshot();
    expect(isEarlier(before, after)).toBe(true);
    expect(contentOf(after)).toEqual(kept);
    expect([after.services.length, after.credentials.length]).toEqual([1, 1]);
    expect((await one.store.readContent()).policyVersions).toEqual(policyVersions);
    expect(one.state.callPolicyOf("shop")).toBeUndefined(); // until it polls
    const log = one.log.lines.filter((line) => line.startsWith("warn store restored from backup"));
    expect(log).toHaveLength(1);
    await one.poll();
    expect([...one.state.callPolicyOf("shop")!.services.keys()]).toEqual(["orders"]);
    expect(contentOf(await one.store.readSnapshot()).keys).toEqual(expect.arrayContaining(kept.keys));
    for (const appId of ["public", "shop"]) {
      const prepared = one.state.keysOf(appId).filter((key) => key.signsFrom > one.state.now());
      const kinds = prepared.map((key) => `${key.kind} ${key.algorithm}`).sort();
      expect(kinds).toEqual(
        (appId === "shop" ? ["Ed25519", "ES256"] : ["ES256"])
          .flatMap((algorithm) => [`dynamic ${algorithm}`, `static ${algorithm}`])
          .sort(),
      );
      for (const key of prepared) {
        expect(key.signsFrom).toBeLessThanOrEqual(one.state.now() + policy.lead);
        expect(key.signsFrom).toBeGreaterThan(one.state.now() + policy.lead - 10_000);
      }
    }
    expect(await one.state.privateKeyOf(one.state.signer("shop", "static", "ES256")!)).toBeDefined();
  });

  itHere("R15 of a backup from before services existed restores everything else", async () => {
    const one = await openInstance(await open());
    await one.rotateKeys.provisionApp("public");
    const { sha256, services: none, credentials, ...facts } = await createTakeBackup(one.store)();
    expect([sha256.length, none, credentials]).toEqual([64, [], []]);
    const old = { ...facts, version: 1 };
    const digest = createHash("sha256").update(JSON.stringify(old)).digest("hex");
    const read = readBackup(JSON.stringify({ ...old, sha256: digest }));
    if (!read.ok) throw new Error(read.problem);
    await one.store.write((writer) => writer.services.insert("public", "orders"));
    expect(await one.restore(read.backup, true)).toMatchObject({ ok: true, value: { apps: 1 } });
    const { keys, services } = await one.store.readSnapshot();
    expect([keys.length, services]).toEqual([2, []]);
  });

  itHere("R15 under three running instances leads to one replacement of signers, by one of them", async () => {
    const place = await open();
    const instances = [await openInstance(place), await openInstance(place), await openInstance(place)];
    const [one] = instances;
    await one!.rotateKeys.provisionApp("public");
    await one!.rotateKeys.rotateAll();
    const old = await one!.store.readState();
    for (const appId of ["a", "b", "c"]) await one!.rotateKeys.provisionApp(appId);
    for (const { state } of instances) await state.refresh();
    await place.run([
      "delete from signing_keys where app_id <> 'public'",
      "delete from apps where app_id <> 'public'",
      `update core_state set epoch = ${old.epoch}, generation = ${old.generation}`,
    ]);
    const { latest } = one!.state;
    await Promise.all(instances.map(({ poll }) => poll()));
    const after = await one!.store.readState();
    expect(isEarlier(latest, after)).toBe(true);
    expect(after.generation).toBeLessThanOrEqual(after.now / 1000);
    const lines = instances.flatMap(({ log }) => log.lines);
    expect(lines.filter((line) => line.startsWith("error store rollback detected")).length).toBeGreaterThanOrEqual(1);
    expect(lines.filter((line) => line.startsWith("warn generation raised"))).toHaveLength(1);
    const statics = (await one!.store.readSnapshot()).keys.filter((key) => key.kind === "static");
    expect(statics).toHaveLength(2); // the old one and its successor

    for (const { poll } of instances) await poll();
    expect((await one!.store.readState()).generation).toBe(after.generation);
  });

  /** Opens a store with an app whose active signing keys are all due for replacement. */
  async function restoredPlace() {
    const place = await open();
    const one = await openInstance(place);
    await one.rotateKeys.provisionApp("public");
    await one.rotateKeys.rotateAll();
    const before = one.state.keysOf("public").map((key) => key.kid);
    await one.store.write((writer) => writer.raiseGeneration());
    return { place, before };
  }
  const dueIn = async (store: Store) => (await store.readSnapshot()).apps.some((app) => app.rotationDue);

  itHere("R15 the new signers survive a crash of the instance that noticed the restore", async () => {
    const place = await open();
    const blip = { failing: false };
    const unsteady = await openInstance(place, (real) => ({
      ...real,
      readState: () => (blip.failing ? Promise.reject(new StoreUnavailable("a blip")) : real.readState()),
      async write(work) {
        const result = await real.write(work);
        blip.failing = true; // right after the generation was raised
        return result;
      },
    }));
    const other = await openInstance(place);
    await other.rotateKeys.provisionApp("public");
    await other.rotateKeys.rotateAll();
    const { epoch, generation } = await other.store.readState();
    for (const appId of ["a", "b"]) await other.rotateKeys.provisionApp(appId);
    await unsteady.state.refresh();
    await place.run([`update core_state set epoch = ${epoch}, generation = ${generation}`]);
    await expect(unsteady.poll()).rejects.toThrow("a blip");
    expect((await other.store.readState()).generation).toBeGreaterThan(generation);

    const next = await openInstance(place); // has no memory of the earlier state
    await next.poll();
    for (const appId of ["public", "a", "b"]) {
      const prepared = next.state.keysOf(appId).filter((key) => key.signsFrom > next.state.now());
      expect(prepared.map((key) => key.kind).sort()).toEqual(["dynamic", "static"]);
      for (const key of prepared) expect(key.signsFrom).toBeLessThanOrEqual(next.state.now() + policy.lead);
    }
    expect(await dueIn(next.store)).toBe(false);
    const settled = await next.store.readState();
    await next.poll();
    expect((await next.store.readState()).epoch).toBe(settled.epoch);
  });

  itHere("R15 all signers are replaced or none: the next poll repeats a failed replacement", async () => {
    const { place, before } = await restoredPlace();
    const failing = await openInstance(place, (real) => ({
      ...real,
      write: (work) =>
        real.write(async (writer) => {
          await work(writer);
          throw new StoreUnavailable("before the commit");
        }),
    }));
    await expect(failing.poll()).rejects.toThrow("before the commit");
    expect(failing.state.isRotationDue("public")).toBe(true);
    expect(failing.log.lines.filter((line) => line.includes("signing key created"))).toEqual([]);
    const next = await openInstance(place);
    expect(next.state.keysOf("public").map((key) => key.kid)).toEqual(before);
    await next.poll();
    expect(await dueIn(next.store)).toBe(false);
    expect(next.state.keysOf("public")).toHaveLength(before.length + 1); // the static successor; the dynamic one existed
  });

  itHere("R15 if the set has no room for new signers, this is logged once, and they follow once it has", async () => {
    const { place } = await restoredPlace();
    const one = await openInstance(place);
    const filler = one.state.keysOf("public")[0]!;
    await one.store.write(async (writer) => {
      for (let i = 0; (await writer.keys.listIn("public")).length < 63; i++) {
        const dates = { signsFrom: 0, signsUntil: 0, verifiesUntil: null };
        await writer.keys.insert({ ...filler, ...dates, kid: `imported-${i}`, sequence: -i });
      }
    });
    await one.poll();
    await one.poll();
    expect(await dueIn(one.store)).toBe(true);
    const alarms = one.log.lines.filter((line) =>
      line.startsWith("error cannot replace active signing keys after restore"),
    );
    expect(alarms).toEqual([expect.stringMatching(/more than 64 keys would be published/)]);
    await one.store.write(async (writer) => {
      for (let i = 0; i < 10; i++) await writer.keys.delete("public", `imported-${i}`);
    });
    await one.poll();
    expect(await dueIn(one.store)).toBe(false);
  });
});
