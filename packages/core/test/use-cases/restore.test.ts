// R15 without processes, and on both engines.
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/adapters/open-store.ts";
import { isEarlier, type Store, type StoreSnapshot } from "../../src/ports/store.ts";
import { createTakeBackup, readBackup } from "../../src/use-cases/backup.ts";
import { createNoticeRestore, createRestore } from "../../src/use-cases/restore.ts";
import { KeyRing } from "../../src/use-cases/key-ring.ts";
import { createRotateKeys } from "../../src/use-cases/rotate-keys.ts";
import { StoreClock } from "../../src/use-cases/store-clock.ts";
import { createEnvelopeVault } from "../../src/adapters/envelope-vault.ts";
import { DEFAULT_ROTATION } from "../../src/domain/rotation.ts";
import { recordedLog } from "../support/log.ts";
import { note, startPostgres } from "../support/postgres.ts";
import { openDatabase } from "../support/sqlite.ts";
import { tempDir } from "../support/temp-dir.ts";

const vault = createEnvelopeVault(Buffer.alloc(32, 5));
const policy = { ...DEFAULT_ROTATION, algorithms: ["ES256"] as const };

interface Place {
  open(): Promise<Store>;
  /** Statements of somebody who is no core, in one transaction. */
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

async function onPostgres(): Promise<Place | undefined> {
  const server = await startPostgres();
  const database = await server?.newDatabase();
  if (server === undefined || database === undefined) return undefined;
  return {
    open: () => openStore({ dataDir: "", database, poolSize: 4, now: Date.now }),
    async run(statements) {
      await server.query(database, ["begin", ...statements, "commit"].join(";"));
    },
  };
}

async function openInstance(place: Place) {
  const store = await place.open();
  onTestFinished(() => store.close());
  const keyRing = new KeyRing(store, vault, new StoreClock(() => performance.now()), policy);
  const log = recordedLog();
  const rotateKeys = createRotateKeys({ store, vault, keyRing, log });
  const parts = { store, keyRing, rotateKeys, log };
  await keyRing.refresh();
  return { ...parts, restore: createRestore(parts), noticeRestore: createNoticeRestore(parts) };
}

function contentOf({ apps, keys, revokedTokens, revokedServices }: StoreSnapshot) {
  return {
    apps,
    keys: keys.map((key) => [key.kid, Buffer.from(key.sealedPrivateKey)]),
    revokedTokens,
    revokedServices,
  };
}

describe.each([
  ["SQLite", onSqlite],
  ["PostgreSQL", onPostgres],
] as const)("a restore on %s", (_, open) => {
  it("R15 puts back all that the backup has, in a generation above everybody's", async () => {
    const place = await open();
    if (place === undefined) return note("R15 on PostgreSQL was not tested");
    const one = await openInstance(place);
    for (const appId of ["public", "shop"]) await one.rotateKeys.provisionApp(appId);
    await one.rotateKeys.rotateAll();
    await one.store.write(async (writer) => {
      await writer.setAlgorithms("shop", ["Ed25519", "ES256"]);
      await writer.upsertRevokedToken({ appId: "shop", jti: "j", expiresAt: 4_000_000_000 });
      await writer.upsertRevokedService({ appId: "public", service: "orders", notBefore: 7 });
    });
    const kept = contentOf(await one.store.readSnapshot());
    const read = readBackup(JSON.stringify(await createTakeBackup(one.store)()));
    if (!read.ok) throw new Error(read.problem);

    await one.store.write((writer) => writer.deleteApp("shop"));
    await one.store.write((writer) => writer.raiseGeneration(5_000_000_000));
    await one.keyRing.refresh();
    const before = await one.store.readState();
    expect(await one.restore(read.backup, false)).toMatchObject({ ok: false, status: 409 });
    expect(await one.restore(read.backup, true)).toMatchObject({
      ok: true,
      value: { apps: 2, generation: 5_000_000_002 },
    });
    const after = await one.store.readSnapshot();
    expect(isEarlier(before, after)).toBe(true);
    const restored = contentOf(after);
    expect({ ...restored, keys: [] }).toEqual({ ...kept, keys: [] });
    expect(restored.keys).toEqual(expect.arrayContaining(kept.keys));
    const log = one.log.lines.filter((line) => line.startsWith("warn THE STORE WAS RESTORED"));
    expect(log).toHaveLength(1);
    for (const appId of ["public", "shop"]) {
      const prepared = one.keyRing.keysOf(appId).filter((key) => key.signsFrom > one.keyRing.now());
      const kinds = prepared.map((key) => `${key.kind} ${key.algorithm}`).sort();
      expect(kinds).toEqual(
        (appId === "shop" ? ["Ed25519", "ES256"] : ["ES256"])
          .flatMap((algorithm) => [`dynamic ${algorithm}`, `static ${algorithm}`])
          .sort(),
      );
      for (const key of prepared) {
        expect(key.signsFrom).toBeLessThanOrEqual(one.keyRing.now() + policy.lead);
        expect(key.signsFrom).toBeGreaterThan(one.keyRing.now() + policy.lead - 10_000);
      }
    }
    expect(await one.keyRing.privateKeyOf(one.keyRing.signer("shop", "static", "ES256")!)).toBeDefined();
  });

  it("R15 behind the backs of three instances is seen to by one of them, once", async () => {
    const place = await open();
    if (place === undefined) return note("R15 on PostgreSQL was not tested");
    const instances = [await openInstance(place), await openInstance(place), await openInstance(place)];
    const [one] = instances;
    await one!.rotateKeys.provisionApp("public");
    await one!.rotateKeys.rotateAll();
    const old = await one!.store.readState();
    for (const appId of ["a", "b", "c"]) await one!.rotateKeys.provisionApp(appId);
    for (const { keyRing } of instances) await keyRing.refresh();
    await place.run([
      "delete from signing_keys where app_id <> 'public'",
      "delete from apps where app_id <> 'public'",
      `update core_state set epoch = ${old.epoch}, generation = ${old.generation}`,
    ]);
    const { latest } = one!.keyRing;
    await Promise.all(
      instances.map(async ({ keyRing, noticeRestore }) => {
        await keyRing.refresh();
        await noticeRestore();
      }),
    );
    const after = await one!.store.readState();
    expect(isEarlier(latest, after)).toBe(true);
    expect(after.generation).toBeLessThanOrEqual(after.now / 1000);
    const lines = instances.flatMap(({ log }) => log.lines);
    expect(lines.filter((line) => line.startsWith("error the store went back")).length).toBeGreaterThanOrEqual(1);
    expect(lines.filter((line) => line.startsWith("warn raised the generation"))).toHaveLength(1);
    const statics = (await one!.store.readSnapshot()).keys.filter((key) => key.kind === "static");
    expect(statics).toHaveLength(2); // the old one and its successor

    for (const { keyRing, noticeRestore } of instances) {
      await keyRing.refresh();
      await noticeRestore();
    }
    expect((await one!.store.readState()).generation).toBe(after.generation);
  });
});
