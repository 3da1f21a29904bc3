// A Kysely driver for SQLite that waits for locks without blocking the event loop.
import {
  CompiledQuery,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
} from "kysely";
import { StoreUnavailable } from "../../ports/store.ts";

/** The part of `node:sqlite` that is used; `@photostructure/sqlite` has the same. */
export interface SqliteDatabase {
  exec(sql: string): void;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

interface SqliteStatement {
  all(...parameters: unknown[]): unknown[];
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  columns(): unknown[];
}

const SQLITE_ERROR = 1;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
/** Milliseconds that a transaction waits, for the connection and the lock together. */
const LOCK_TIMEOUT = 5_000;
const LOCK_DELAY = { first: 2, most: 50 };

/**
 * Retries a step while another process holds the lock. SQLite's own busy timeout would block the event loop.
 *
 * @param deadline when to give up, by `performance.now()`
 * @throws StoreUnavailable if the lock is not available in time, or if the disk fails
 */
export async function retryWhileBusy<T>(step: () => T, deadline = performance.now() + LOCK_TIMEOUT): Promise<T> {
  for (let delay = LOCK_DELAY.first; ; delay = Math.min(delay * 2, LOCK_DELAY.most)) {
    try {
      return step();
    } catch (error) {
      if (!isBusy(error)) throw asUnavailable(error);
      if (performance.now() >= deadline) throw locked(error);
      await new Promise((resolve) => setTimeout(resolve, delay * (0.5 + Math.random())));
    }
  }
}

function locked(cause?: unknown): StoreUnavailable {
  return new StoreUnavailable(`the database was locked for ${LOCK_TIMEOUT / 1000} s`, { cause });
}

/** READONLY, IOERR, FULL, CANTOPEN: problems of the disk, which can be temporary. */
const UNAVAILABLE: ReadonlySet<number | undefined> = new Set([8, 10, 13, 14]);

function asUnavailable(error: unknown): unknown {
  if (!UNAVAILABLE.has(primaryCodeOf(error))) return error;
  return new StoreUnavailable(`database: ${messageOf(error)}`, { cause: error });
}

/** Reports whether another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return [SQLITE_BUSY, SQLITE_LOCKED].includes(primaryCodeOf(error) ?? 0);
}

/** CORRUPT, NOTADB: the file is damaged. */
export function isDamage(error: unknown): boolean {
  return [11, 26].includes(primaryCodeOf(error) ?? 0);
}

function primaryCodeOf(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" ? code & 0xff : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** How transactions of a connection begin: a writer takes the lock immediately, a reader takes a snapshot. */
export type Begin = "begin immediate" | "begin deferred";

export function createSqliteDialect(database: SqliteDatabase, begin: Begin): Dialect {
  return {
    createDriver: () => new SqliteDriver(database, begin),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new ImmediateSqliteAdapter(),
    createIntrospector: (db: Kysely<never>) => new SqliteIntrospector(db),
  };
}

/** A migration runs in one transaction of the writer, which holds the lock from the start. */
class ImmediateSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

class SqliteDriver implements Driver {
  readonly #database: SqliteDatabase;
  readonly #connection: SqliteConnection;
  readonly #begin: Begin;
  /** Resolves when the last caller so far has released the only connection. */
  #queue: Promise<void> = Promise.resolve();
  #release: () => void = () => {};

  constructor(database: SqliteDatabase, begin: Begin) {
    this.#database = database;
    this.#begin = begin;
    this.#connection = new SqliteConnection(database);
  }

  async init(): Promise<void> {}

  /** @throws StoreUnavailable if earlier callers take too long */
  async acquireConnection(): Promise<DatabaseConnection> {
    const deadline = performance.now() + LOCK_TIMEOUT;
    const before = this.#queue;
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    this.#queue = before.then(() => released);
    if (!(await endsBy(before, deadline))) {
      release(); // later callers wait for the earlier ones only
      throw locked();
    }
    this.#release = release;
    this.#connection.deadline = deadline;
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    this.#release();
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(this.#begin));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    try {
      await connection.executeQuery(CompiledQuery.raw("rollback"));
    } catch (error) {
      // SQLite has already rolled back, for example because the disk is full. The caller gets the original error.
      if (primaryCodeOf(error) !== SQLITE_ERROR) throw error;
    }
  }

  async destroy(): Promise<void> {
    await this.#queue;
    try {
      // SQLite does this when the last connection closes, but one driver keeps connections open until its statements are
      // garbage-collected.
      this.#database.exec("pragma wal_checkpoint(truncate)");
    } catch {
      // No data is lost: the log is part of the database.
    }
    this.#database.close();
  }
}

/** Reports whether `work` ends in time. */
async function endsBy(work: Promise<void>, deadline: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.max(0, deadline - performance.now()));
  });
  const inTime = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return inTime;
}

class SqliteConnection implements DatabaseConnection {
  /** When its current user stops waiting for locks. */
  deadline = 0;
  readonly #database: SqliteDatabase;
  /** Cached: the store has few queries, and one driver frees a statement only when it is garbage-collected. */
  readonly #statements = new Map<string, SqliteStatement>();

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    return retryWhileBusy(() => {
      const statement = this.#prepare(sql);
      if (statement.columns().length > 0) return { rows: statement.all(...parameters) as R[] };
      const { changes, lastInsertRowid } = statement.run(...parameters);
      return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
    }, this.deadline);
  }

  #prepare(sql: string): SqliteStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  // eslint-disable-next-line require-yield -- Kysely's interface requires a generator
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("streaming is not supported");
  }
}
