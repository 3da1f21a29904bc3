import { existsSync, statSync } from "node:fs";
import { mkdir, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { Kysely, sql } from "kysely";
import { reasonOf, StartupError } from "../../ports/startup-error.ts";
import { StoreUnavailable, type Store } from "../../ports/store.ts";
import { createSqlStore } from "../sql/sql-store.ts";
import type { SqlEngine } from "../sql/sql-engine.ts";
import { migrate, type BeforeMigration } from "../sql/migrate.ts";
import type { Schema } from "../sql/schema.ts";
import { createSqliteDialect, isBusy, isDamage, patiently, type Begin, type SqliteDatabase } from "./sqlite-driver.ts";

const FILE_NAME = "countersign.db";
/** The first one that is new enough is used. */
const DRIVERS = ["node:sqlite", "@photostructure/sqlite"] as const;
export type SqliteDriverName = (typeof DRIVERS)[number];

/** Older ones can corrupt a database in WAL mode when two processes write and checkpoint at once. */
const OLDEST_SQLITE = "3.51.3";

/** Milliseconds: how soon a process sees what another one wrote. One row is read. */
const POLL_INTERVAL = 1_000;

/** The constructor both drivers share. */
interface SqliteDriverModule {
  DatabaseSync: new (path: string, options?: { readOnly?: boolean }) => SqliteDatabase;
}

export interface SqliteOptions {
  /** Created where it is missing. */
  readonly dataDir: string;
  /** The store's clock, milliseconds since the epoch: this machine's, unless a test brings its own. */
  readonly now?: () => number;
  readonly beforeMigration?: BeforeMigration | undefined;
  /** Default: the first one that can be used. */
  readonly driver?: SqliteDriverName;
}

/** Whether there is a store in a directory: whoever wants to change one has to name it rightly. */
export function hasSqliteStore(dataDir: string): boolean {
  return existsSync(join(dataDir, FILE_NAME));
}

/**
 * Opens the embedded store, its schema up to date.
 *
 * @throws StartupError for a directory or file that cannot be used; the file is left as it was
 */
export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  const { dataDir, now = Date.now, beforeMigration, driver } = options;
  const { DatabaseSync } = await loadDriver(driver === undefined ? DRIVERS : [driver]);
  await mkdir(dataDir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw new StartupError(
      `cannot create the data directory ${dataDir}: ${reasonOf(error)}; choose another one with --data-dir`,
      { cause: error },
    );
  });
  const path = join(dataDir, FILE_NAME);
  await makeFile(path);
  await checkFile(DatabaseSync, path);

  const connections: SqliteDatabase[] = [];
  try {
    const connect = async (begin: Begin) => {
      const connection = new DatabaseSync(path);
      connections.push(connection);
      await prepareConnection(connection);
      return new Kysely<Schema>({ dialect: createSqliteDialect(connection, begin) });
    };
    const writer = await connect("begin immediate");
    const reader = await connect("begin deferred");
    const engine: SqlEngine = {
      reader,
      writer,
      shortWriter: writer, // there is one lock for all that is written, and it has it for a statement only
      now: () => sql<number>`${now()}`, // every process has the same: this machine's
      lockWriters: async () => {}, // the writer's transactions begin with the lock
      announce: async () => {}, // other processes look once a second
      watch: () => () => {},
      pollInterval: POLL_INTERVAL,
      schema: async () => undefined,
      close: async () => {
        await reader.destroy();
        await writer.destroy();
      },
    };
    await migrate(engine, beforeMigration);
    checkWritable(connections[0]!);
    return onlyInPlace(createSqlStore(engine), path, (await identityOf(path))!);
  } catch (error) {
    for (const connection of connections) connection.close();
    if (error instanceof StartupError) throw error;
    throw unusable(path, error);
  }
}

/** An empty one where there is none, for its owner only, as SQLite's other files are then. */
async function makeFile(path: string): Promise<void> {
  try {
    await (await open(path, "a", 0o600)).close();
  } catch (error) {
    throw unusable(path, error);
  }
}

/**
 * Uses the file only while it is the one of its name. One that was moved away, or replaced from a copy of the file, would
 * go on being written by whoever has it open, and be gone with them. It is not followed: SQLite would read the new file
 * with the old one's log, and take the log away from under it later.
 */
function onlyInPlace(store: Store, path: string, identity: string): Store {
  const check = async () => {
    if ((await identityOf(path)) === identity) return;
    throw new StoreUnavailable(
      `${path} was moved or replaced while it is in use: put it back, or stop every process that uses it and start ` +
        "them again; where it is an older copy now, a backup of it and 'countersign restore --force' make verifiers know",
    );
  };
  const inPlace = async <T>(work: () => Promise<T>): Promise<T> => {
    await check();
    return work();
  };
  return Object.freeze<Store>({
    ...store,
    readState: () => inPlace(store.readState),
    readSnapshot: () => inPlace(store.readSnapshot),
    readCredentials: (appId, service) => inPlace(() => store.readCredentials(appId, service)),
    useOnce: (uses) => inPlace(() => store.useOnce(uses)),
    forgetUsed: () => inPlace(store.forgetUsed),
    write: (work) => inPlace(() => store.write(work)),
  });
}

/** @returns undefined where there is no file of that name */
async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev} ${found.ino}`;
}

/** For what is wrong around the file: nobody must throw keys away because of a lock or a missing permission. */
function unusable(path: string, error: unknown): StartupError {
  return new StartupError(
    `cannot use the database ${path}: ${reasonOf(error)}; check the directory's owner, its free space and what else ` +
      "uses it, or choose another one with --data-dir",
    { cause: error },
  );
}

/** Reads the file through before anything is written to it: a damaged one stays as it is, for whoever repairs it. */
async function checkFile(DatabaseSync: SqliteDriverModule["DatabaseSync"], path: string): Promise<void> {
  if (statSync(path).size === 0) return;
  let finding: unknown;
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      finding = await patiently(() => Object.values(database.prepare("pragma quick_check(1)").all()[0] as object)[0]);
    } finally {
      database.close();
    }
  } catch (error) {
    if (!isDamage(error)) throw unusable(path, error);
    finding = reasonOf(error);
  }
  if (finding !== "ok") {
    throw new StartupError(
      `the database ${path} is damaged (${String(finding).replace(/\s+/g, " ")}): restore it from a backup, or move it away to start with new keys, ` +
        "which ends every token issued so far",
    );
  }
}

/** Found out now, and not by the first rotation in a week. */
function checkWritable(writer: SqliteDatabase): void {
  try {
    writer.exec("begin immediate");
  } catch (error) {
    if (isBusy(error)) return; // somebody is writing at this moment
    throw error;
  }
  try {
    writer.exec("update core_state set epoch = epoch");
  } finally {
    writer.exec("rollback");
  }
}

/** Every commit is on disk before it is answered: a token must never outlive the only copy of its key. */
async function prepareConnection(connection: SqliteDatabase): Promise<void> {
  for (const pragma of ["busy_timeout = 0", "journal_mode = wal", "synchronous = full", "foreign_keys = on"]) {
    await patiently(() => connection.exec(`pragma ${pragma}`));
  }
}

async function loadDriver(names: readonly SqliteDriverName[]): Promise<SqliteDriverModule> {
  const found: string[] = [];
  for (const name of names) {
    const driver = await importDriver(name);
    if (driver === undefined) continue;
    const version = sqliteVersionOf(driver);
    if (isAtLeast(version, OLDEST_SQLITE)) return driver;
    found.push(`${name} has SQLite ${version}`);
  }
  throw new StartupError(
    `the embedded store needs SQLite ${OLDEST_SQLITE} or newer (${found.join(", ") || "no driver found"}): ` +
      "install the package @photostructure/sqlite, or run a Node that bundles a newer one",
  );
}

/** @returns undefined where it is not installed, or this Node has none */
function importDriver(name: SqliteDriverName): Promise<SqliteDriverModule | undefined> {
  return (import(name) as Promise<SqliteDriverModule>).catch(() => undefined);
}

/** Which drivers can be used here. */
export async function usableSqliteDrivers(): Promise<SqliteDriverName[]> {
  const usable: SqliteDriverName[] = [];
  for (const name of DRIVERS) {
    const driver = await importDriver(name);
    if (driver !== undefined && isAtLeast(sqliteVersionOf(driver), OLDEST_SQLITE)) usable.push(name);
  }
  return usable;
}

function sqliteVersionOf({ DatabaseSync }: SqliteDriverModule): string {
  const database = new DatabaseSync(":memory:");
  try {
    return (database.prepare("select sqlite_version() as version").all()[0] as { version: string }).version;
  } finally {
    database.close();
  }
}

function isAtLeast(version: string, oldest: string): boolean {
  const have = version.split(".").map(Number);
  const need = oldest.split(".").map(Number);
  for (let i = 0; i < need.length; i++) {
    const difference = (have[i] ?? 0) - need[i]!;
    if (difference !== 0) return difference > 0;
  }
  return true;
}
