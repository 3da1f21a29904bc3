import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, open, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { describe, expect, it, onTestFinished } from "vitest";
import { openSqliteStore, usableSqliteDrivers } from "../../../src/adapters/sqlite/sqlite-store.ts";
import { StoreUnavailable, type Store } from "../../../src/ports/store.ts";
import { StartupError } from "../../../src/ports/startup-error.ts";
import { describeStore } from "../../ports/store/contract.ts";
import { appIdsOf } from "../../ports/store/fixture.ts";
import { openDatabase } from "../../support/sqlite.ts";
import { storedKey } from "../../support/stored-key.ts";
import { tempDir } from "../../support/temp-dir.ts";

const FILE = "countersign.db";

// The drivers depend on the Node version; other versions test the other drivers.
for (const driver of await usableSqliteDrivers()) {
  describeStore(`SQLite by ${driver}`, { notifies: false, settableClock: true }, async () => {
    const dataDir = join(await tempDir(), "data");
    return { open: (clock) => openSqliteStore({ dataDir, now: clock.now, driver }) };
  });
}

const digestOf = async (path: string) =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
const newKey = (store: Store) =>
  store.write(async (writer) => {
    await writer.apps.insert("public");
    await writer.keys.insert(storedKey());
  });

/** Returns a directory with one app and one key, which no process has open. */
async function usedDirectory(): Promise<string> {
  const dataDir = await tempDir();
  const store = await openSqliteStore({ dataDir });
  await newKey(store);
  await store.close();
  return dataDir;
}

/** Returns the error message, after checking that the file is unchanged and that no other relevant file exists. */
async function refusalOf(dataDir: string): Promise<string> {
  const path = join(dataDir, FILE);
  const readContent = async () => {
    // Reading needs the two files of SQLite's log, but they must be empty.
    const logged = await stat(`${path}-wal`).then(
      ({ size }) => size,
      () => 0,
    );
    const others = (await readdir(dataDir)).filter((name) => ![`${FILE}-wal`, `${FILE}-shm`].includes(name));
    return [await digestOf(path), (await stat(path)).mtimeMs, others, logged];
  };
  const before = await readContent();
  const error = await openSqliteStore({ dataDir }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StartupError);
  expect(await readContent()).toEqual(before);
  return (error as Error).message;
}

describe("the directory", () => {
  it("is created if it is missing, for its owner only, and its one file contains everything after closing", async () => {
    const dataDir = join(await tempDir(), "a", "b");
    const store = await openSqliteStore({ dataDir });
    await newKey(store);
    expect((await stat(dataDir)).mode & 0o077).toBe(0);
    await store.close();
    const copied = await tempDir();
    await copyFile(join(dataDir, FILE), join(copied, FILE)); // without the log
    const copy = await openSqliteStore({ dataDir: copied });
    expect((await copy.readSnapshot()).keys).toHaveLength(1);
    await copy.close();
  });

  it("creates private files even if the directory is open to other users", async () => {
    const dataDir = await tempDir();
    await chmod(dataDir, 0o755);
    const store = await openSqliteStore({ dataDir });
    await newKey(store);
    const names = await readdir(dataDir);
    expect(names.sort()).toEqual([FILE, `${FILE}-shm`, `${FILE}-wal`]);
    for (const name of names) expect((await stat(join(dataDir, name))).mode & 0o777).toBe(0o600);
    await store.close();
  });

  it("closes after pending writes, and can be closed twice", async () => {
    const dataDir = await tempDir();
    const store = await openSqliteStore({ dataDir });
    let begin = () => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const writing = store.write(async (writer) => {
      begin();
      await writer.apps.insert("public");
      await new Promise((resolve) => setImmediate(resolve));
      await writer.apps.insert("last");
    });
    await begun;
    await Promise.all([writing, store.close()]);
    await store.close();
    const again = await openSqliteStore({ dataDir });
    expect(appIdsOf(await again.readSnapshot())).toEqual(["last", "public"]);
    await again.close();
  });

  it("that cannot be created is rejected with advice", async () => {
    const file = join(await tempDir(), "file");
    await writeFile(file, "");
    const opening = openSqliteStore({ dataDir: join(file, "data") });
    await expect(opening).rejects.toThrow(StartupError);
    await expect(opening).rejects.toThrow(
      /cannot create the data directory .*a file with this name already exists.*--data-dir/,
    );
  });

  it("is rejected if the database file is a directory", async () => {
    const dataDir = await tempDir();
    await mkdir(join(dataDir, FILE));
    await expect(openSqliteStore({ dataDir })).rejects.toThrow(StartupError);
  });

  it("is shared by stores that open it at the same time when it is new", async () => {
    const dataDir = join(await tempDir(), "new");
    const stores = await Promise.all(Array.from({ length: 4 }, () => openSqliteStore({ dataDir })));
    await newKey(stores[0]!);
    for (const store of stores) {
      const snapshot = await store.readSnapshot();
      expect([appIdsOf(snapshot), snapshot.keys.length, snapshot.epoch]).toEqual([["public"], 1, 2]);
    }
    for (const store of stores) await store.close();
  });

  it("is used if it contains an empty file of a process that crashed", async () => {
    const dataDir = await tempDir();
    await writeFile(join(dataDir, FILE), "");
    const store = await openSqliteStore({ dataDir });
    await newKey(store);
    await store.close();
  });
});

it("R14 accepts a schema to which a newer version has only added: an older version can start after a rollback", async () => {
  const dataDir = await usedDirectory();
  const database = await openDatabase(join(dataDir, FILE));
  database.exec("create table of_the_future (id integer); alter table apps add column of_the_future text");
  database.exec("insert into countersign_migration (name, timestamp) values ('9999_future_expand', '2030-01-01')");
  database.close();
  const store = await openSqliteStore({ dataDir });
  await store.write((writer) => writer.apps.insert("after-the-roll-back"));
  expect(appIdsOf(await store.readSnapshot())).toContain("after-the-roll-back");
  await store.close();
});

describe("a file that must not change", () => {
  it("is rejected if a newer version has written it, and stays byte-identical (R14)", async () => {
    const dataDir = await usedDirectory();
    const database = await openDatabase(join(dataDir, FILE));
    database.exec("insert into countersign_migration (name, timestamp) values ('9999_future', '2030-01-01')");
    database.exec("pragma wal_checkpoint(truncate)");
    database.close();
    expect(await refusalOf(dataDir)).toMatch(/schema version "9999_future".*newer countersign-core/);
  });

  for (const [what, content] of [
    ["text", "this is not a database ".repeat(500)],
    ["zeros", Buffer.alloc(8192)],
    ["two bytes", "xy"], // one byte is SQLite's own way of saying that a file is empty
    ["half a header", "SQLite format 3\0"],
  ] as const) {
    it(`is rejected if it is ${what} (R3)`, async () => {
      const dataDir = await tempDir();
      await writeFile(join(dataDir, FILE), content);
      expect(await refusalOf(dataDir)).toMatch(/is damaged .*restore a backup/);
    });
  }

  it("is rejected if a page was overwritten, and gets no new keys (R3)", async () => {
    const dataDir = await usedDirectory();
    const path = join(dataDir, FILE);
    const { size } = await stat(path);
    const file = await open(path, "r+");
    for (let page = 1; page < size / 4096; page++) await file.write(Buffer.alloc(600, 0xa5), 0, 600, page * 4096);
    await file.close();
    expect(await refusalOf(dataDir)).toMatch(/is damaged/);
  });

  it("is rejected if it was cut in half (R3)", async () => {
    const dataDir = await usedDirectory();
    const path = join(dataDir, FILE);
    const content = await readFile(path);
    await writeFile(path, content.subarray(0, Math.floor(content.length / 8192) * 4096));
    expect(await refusalOf(dataDir)).toMatch(/is damaged/);
  });
});

describe("R3 a write lock of another process", () => {
  it("is waited for if it lasts a second, without stalling the event loop", async () => {
    const dataDir = await usedDirectory();
    const store = await openSqliteStore({ dataDir });
    const foreign = await openDatabase(join(dataDir, FILE));
    foreign.exec("begin immediate");
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const began = performance.now();
    setTimeout(() => foreign.exec("commit"), 1_000);
    await store.write((writer) => writer.apps.insert("late"));
    const waited = performance.now() - began;
    delay.disable();
    foreign.close();
    expect(waited).toBeGreaterThan(950);
    expect(waited).toBeLessThan(2_500);
    expect(delay.max / 1e6).toBeLessThan(300); // A busy timeout would have blocked the event loop for the whole second.
    expect(appIdsOf(await store.readSnapshot())).toEqual(["public", "late"]);
    await store.close();
  });

  it("fails each waiting write after 5 s, for any number of them, and later writes succeed once it is released", async () => {
    const dataDir = await usedDirectory();
    const store = await openSqliteStore({ dataDir });
    const foreign = await openDatabase(join(dataDir, FILE));
    foreign.exec("begin immediate");
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const waits = (count: number) =>
      Array.from({ length: count }, async () => {
        const began = performance.now();
        await expect(store.write((writer) => writer.apps.insert("late"))).rejects.toThrow(StoreUnavailable);
        return performance.now() - began;
      });
    const early = waits(4);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    // Each waits for its own 5 s, not for the sum of all waits.
    const times = await Promise.all([...early, ...waits(2)]);
    delay.disable();
    expect(Math.min(...times)).toBeGreaterThan(4_900);
    expect(Math.max(...times)).toBeLessThan(5_500);
    expect(delay.max / 1e6).toBeLessThan(300);
    foreign.exec("rollback");
    foreign.close();
    await store.write((writer) => writer.apps.insert("in time"));
    expect(appIdsOf(await store.readSnapshot())).toEqual(["public", "in time"]);
    await store.close();
  });

  it("does not block readers", async () => {
    const dataDir = await usedDirectory();
    const store = await openSqliteStore({ dataDir });
    const foreign = await openDatabase(join(dataDir, FILE));
    foreign.exec("begin immediate");
    let written = false;
    const writing = store.write((writer) => writer.apps.insert("late")).then(() => (written = true));
    const snapshot = await store.readSnapshot();
    expect([appIdsOf(snapshot), written]).toEqual([["public"], false]);
    foreign.exec("commit");
    foreign.close();
    await writing;
    expect(appIdsOf(await store.readSnapshot())).toEqual(["public", "late"]);
    await store.close();
  });

  it("does not prevent a store from opening, because opening writes nothing", async () => {
    const dataDir = await usedDirectory();
    const first = await openSqliteStore({ dataDir });
    const foreign = await openDatabase(join(dataDir, FILE));
    foreign.exec("begin immediate");
    const second = await openSqliteStore({ dataDir });
    expect(appIdsOf(await second.readSnapshot())).toEqual(["public"]);
    foreign.exec("commit");
    foreign.close();
    await second.close();
    await first.close();
  });
});

describe("R15 a file that is moved or replaced while a store has it open", () => {
  /** Opens a store, with an older copy of its file that contains one app. */
  async function withOlderCopy() {
    const dataDir = await usedDirectory();
    const path = join(dataDir, FILE);
    const older = join(await tempDir(), "older.db");
    const database = await openDatabase(path);
    database.exec(`vacuum into '${older}'`);
    database.close();
    const store = await openSqliteStore({ dataDir });
    onTestFinished(() => store.close());
    await store.write((writer) => writer.apps.insert("later"));
    return { dataDir, path, older, store };
  }
  const expectRefused = async (store: Store) => {
    const words =
      /countersign\.db: file was moved or replaced while in use; put the original back, or restart all processes/;
    const write = () => store.write((writer) => writer.apps.insert("lost"));
    for (const ask of [store.readState, store.readSnapshot, write]) {
      const error = await ask().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(StoreUnavailable);
      expect((error as Error).message).toMatch(words);
    }
  };

  it("gets no more writes, nor does its replacement, and a restart uses the replacement", async () => {
    const { dataDir, path, older, store } = await withOlderCopy();
    await rename(path, `${path}.before`);
    await rename(older, path);
    await expectRefused(store);
    await store.close();
    const fresh = await openSqliteStore({ dataDir });
    expect(appIdsOf(await fresh.readSnapshot())).toEqual(["public"]);
    await fresh.write((writer) => writer.apps.insert("after"));
    await fresh.close();
    for (const [file, apps] of [
      [path, ["public", "after"]],
      [`${path}.before`, ["public", "later"]],
    ] as const) {
      const database = await openDatabase(file);
      expect(database.prepare("pragma integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
      const rows = database.prepare("select app_id from apps order by created_at").all() as { app_id: string }[];
      expect(rows.map((row) => row.app_id)).toEqual(apps);
      database.close();
    }
  });

  it("is not recreated if it is deleted, and is used again when it returns", async () => {
    const { path, store } = await withOlderCopy();
    await rename(path, `${path}.away`);
    await expectRefused(store);
    expect(await readdir(join(path, ".."))).not.toContain(FILE);
    await rename(`${path}.away`, path);
    expect(appIdsOf(await store.readSnapshot())).toEqual(["public", "later"]);
    await store.write((writer) => writer.apps.insert("again"));
  });
});
