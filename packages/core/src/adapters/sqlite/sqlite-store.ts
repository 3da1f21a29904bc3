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
import {
  createSqliteDialect,
  isBusy,
  isDamage,
  retryWhileBusy,
  type Begin,
  type SqliteDatabase,
} from "./sqlite-driver.ts";

const FILE_NAME = "countersign.db";
/** The first one that is new enough is used. */
const DRIVERS = ["node:sqlite", "@photostructure/sqlite"] as const;
export type SqliteDriverName = (typeof DRIVERS)[number];

/** Older versions can corrupt a database in WAL mode when two processes write and checkpoint at the same time. */
const OLDEST_SQLITE = "3.51.3";

/** Milliseconds until a process sees the writes of another. A poll reads one row. */
const POLL_INTERVAL = 1_000;

/** The constructor that both drivers share. */
interface SqliteDriverModule {
  DatabaseSync: new (path: string, options?: { readOnly?: boolean }) => SqliteDatabase;
}

export interface SqliteOptions {
  /** Created if missing. */
  readonly dataDir: string;
  /** The store's clock, milliseconds since the epoch. Default: this machine's clock. */
  readonly now?: () => number;
  readonly beforeMigration?: BeforeMigration | undefined;
  /** Default: the first usable one. */
  readonly driver?: SqliteDriverName;
}

/** Reports whether a directory contains a store. */
export function hasSqliteStore(dataDir: string): boolean {
  return existsSync(join(dataDir, FILE_NAME));
}

/**
 * Opens the embedded store and updates its schema.
 *
 * @throws StartupError for a directory or file that cannot be used; the file remains unchanged
 */
export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  const { dataDir, now = Date.now, beforeMigration, driver } = options;
  const { DatabaseSync } = await loadDriver(driver === undefined ? DRIVERS : [driver]);
  await mkdir(dataDir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw new StartupError(
      `cannot create the data directory ${dataDir}: ${reasonOf(error)}; choose another directory with --data-dir`,
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
      shortWriter: writer, // SQLite has a single lock for all writers
      now: () => sql<number>`${now()}`, // all processes share this machine's clock
      lockWriters: async () => {}, // the writer's transactions hold the lock from the start
      announce: async () => {}, // other processes poll once a second
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

/** Creates an empty file if it is missing, accessible only by its owner. SQLite gives its other files the same mode. */
async function makeFile(path: string): Promise<void> {
  try {
    await (await open(path, "a", 0o600)).close();
  } catch (error) {
    throw unusable(path, error);
  }
}

/**
 * Rejects with StoreUnavailable once the file was moved or replaced, for example by a copy. Processes that have it open
 * would otherwise write to a file that has no name any more. Does not open the new file: SQLite would combine it with the
 * log of the old one.
 */
function onlyInPlace(store: Store, path: string, identity: string): Store {
  const check = async () => {
    if ((await identityOf(path)) === identity) return;
    throw new StoreUnavailable(
      `${path}: file was moved or replaced while in use; put the original back, or restart all processes that use it ` +
        "(for an older copy, run 'countersign backup' and 'countersign restore --force' first)",
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

/** @returns undefined if the file does not exist */
async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev} ${found.ino}`;
}

/** For errors of the environment: a lock or a missing permission must not look like a damaged file. */
function unusable(path: string, error: unknown): StartupError {
  return new StartupError(
    `cannot use the database ${path}: ${reasonOf(error)}; check the directory's owner, its free space and other ` +
      "processes that use it, or choose another directory with --data-dir",
    { cause: error },
  );
}

/** Checks the whole file before the first write, so that a damaged file remains unchanged for repair. */
async function checkFile(DatabaseSync: SqliteDriverModule["DatabaseSync"], path: string): Promise<void> {
  if (statSync(path).size === 0) return;
  let finding: unknown;
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      finding = await retryWhileBusy(
        () => Object.values(database.prepare("pragma quick_check(1)").all()[0] as object)[0],
      );
    } finally {
      database.close();
    }
  } catch (error) {
    if (!isDamage(error)) throw unusable(path, error);
    finding = reasonOf(error);
  }
  if (finding !== "ok") {
    throw new StartupError(
      `the database ${path} is damaged (${String(finding).replace(/\s+/g, " ")}); restore a backup, or move the file away to start with new ` +
        "keys, which invalidates all tokens issued so far",
    );
  }
}

/** Fails at startup instead of at the first key rotation. */
function checkWritable(writer: SqliteDatabase): void {
  try {
    writer.exec("begin immediate");
  } catch (error) {
    if (isBusy(error)) return; // another process is writing
    throw error;
  }
  try {
    writer.exec("update core_state set epoch = epoch");
  } finally {
    writer.exec("rollback");
  }
}

/**
 * synchronous=full: a commit reaches the disk before we respond. Otherwise a crash could lose the key of an issued token.
 */
async function prepareConnection(connection: SqliteDatabase): Promise<void> {
  for (const pragma of ["busy_timeout = 0", "journal_mode = wal", "synchronous = full", "foreign_keys = on"]) {
    await retryWhileBusy(() => connection.exec(`pragma ${pragma}`));
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
      "install the package @photostructure/sqlite, or use a Node version with a newer SQLite",
  );
}

/** @returns undefined if it is not installed, or this Node version does not have it */
function importDriver(name: SqliteDriverName): Promise<SqliteDriverModule | undefined> {
  return (import(name) as Promise<SqliteDriverModule>).catch(() => undefined);
}

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
