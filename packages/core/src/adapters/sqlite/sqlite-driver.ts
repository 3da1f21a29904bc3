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
/** What a transaction waits at most, for its turn and for the lock together. Milliseconds. */
const LOCK_PATIENCE = 5_000;
const LOCK_PAUSE = { first: 2, most: 50 };

/**
 * Runs a step again while another process holds the lock. SQLite's own busy timeout would do so too,
 * but it sleeps on the event loop's thread and freezes the process meanwhile.
 *
 * @param deadline until when it waits, by `performance.now()`
 * @throws StoreUnavailable when the lock is not had in time, or the disk does not take it
 */
export async function patiently<T>(step: () => T, deadline = performance.now() + LOCK_PATIENCE): Promise<T> {
  for (let pause = LOCK_PAUSE.first; ; pause = Math.min(pause * 2, LOCK_PAUSE.most)) {
    try {
      return step();
    } catch (error) {
      if (!isBusy(error)) throw asUnavailable(error);
      if (performance.now() >= deadline) throw locked(error);
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    }
  }
}

function locked(cause?: unknown): StoreUnavailable {
  return new StoreUnavailable(`the database was locked for ${LOCK_PATIENCE / 1000} s`, { cause });
}

/** READONLY, IOERR, FULL, CANTOPEN: the disk's affair, and it may pass. */
const UNAVAILABLE: ReadonlySet<number | undefined> = new Set([8, 10, 13, 14]);

function asUnavailable(error: unknown): unknown {
  if (!UNAVAILABLE.has(primaryCodeOf(error))) return error;
  return new StoreUnavailable(`the database: ${messageOf(error)}`, { cause: error });
}

/** Another connection has the lock. */
export function isBusy(error: unknown): boolean {
  return [SQLITE_BUSY, SQLITE_LOCKED].includes(primaryCodeOf(error) ?? 0);
}

/** CORRUPT, NOTADB: the file itself is wrong. */
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

/** How transactions of a connection begin: a writer takes the lock at once, a reader only looks at one moment. */
export type Begin = "begin immediate" | "begin deferred";

export function createSqliteDialect(database: SqliteDatabase, begin: Begin): Dialect {
  return {
    createDriver: () => new SqliteDriver(database, begin),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new ImmediateSqliteAdapter(),
    createIntrospector: (db: Kysely<never>) => new SqliteIntrospector(db),
  };
}

/** A migration runs in one transaction of the writer, which begins with the lock: that is its lock. */
class ImmediateSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

class SqliteDriver implements Driver {
  readonly #database: SqliteDatabase;
  readonly #connection: SqliteConnection;
  readonly #begin: Begin;
  /** Ends when the last one who asked has given the connection back: there is only one. */
  #queue: Promise<void> = Promise.resolve();
  #release: () => void = () => {};

  constructor(database: SqliteDatabase, begin: Begin) {
    this.#database = database;
    this.#begin = begin;
    this.#connection = new SqliteConnection(database);
  }

  async init(): Promise<void> {}

  /** @throws StoreUnavailable when those who came before take too long */
  async acquireConnection(): Promise<DatabaseConnection> {
    const deadline = performance.now() + LOCK_PATIENCE;
    const before = this.#queue;
    let release!: () => void;
    const turn = new Promise<void>((resolve) => (release = resolve));
    this.#queue = before.then(() => turn);
    if (!(await endsBy(before, deadline))) {
      release(); // for whoever comes after, when those before are done
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
      // A full disk has rolled back already; what matters is why, and that is on its way to the caller.
      if (primaryCodeOf(error) !== SQLITE_ERROR) throw error;
    }
  }

  async destroy(): Promise<void> {
    await this.#queue;
    try {
      // SQLite does this when the last connection closes, but one driver keeps its connections open until its
      // statements are collected.
      this.#database.exec("pragma wal_checkpoint(truncate)");
    } catch {
      // Nothing is lost: the log is part of the database.
    }
    this.#database.close();
  }
}

/** @returns whether it ended in time */
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
  /** Until when whoever has it waits for locks. */
  deadline = 0;
  readonly #database: SqliteDatabase;
  /** Prepared once each: the store has some twenty queries, and one driver frees a statement only when it is collected. */
  readonly #statements = new Map<string, SqliteStatement>();

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    return patiently(() => {
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

  // eslint-disable-next-line require-yield -- Kysely's interface wants a generator
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("nothing here is large enough to stream");
  }
}
