import { Kysely, PostgresDialect, sql } from "kysely";
import pg from "pg";
import type { Store } from "../../ports/store.ts";
import { StartupError } from "../../ports/startup-error.ts";
import { placeOf } from "./database-url.ts";
import { connectionSettings } from "./postgres-connection.ts";
import { createPostgresPool, wordsFor } from "./postgres-pool.ts";
import { EpochWatcher } from "./postgres-watcher.ts";
import type { Schema } from "../sql/schema.ts";
import { createSqlStore } from "../sql/sql-store.ts";
import type { SqlEngine } from "../sql/sql-engine.ts";
import { migrate, type BeforeMigration } from "../sql/migrate.ts";

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** Connections at most, from 2 up, beside the one that listens. */
  readonly poolSize: number;
  /** Milliseconds that a connection is used before another one takes its place. Default one minute. */
  readonly connectionLifetime?: number;
  readonly beforeMigration?: BeforeMigration | undefined;
}

/**
 * Milliseconds. Nothing waits for ever on a server that does not answer: what is in memory serves on. `write` is for a
 * turn and the lock together, whichever of them takes long.
 */
const TIMEOUTS = { connect: 2_000, write: 4_500, answer: 6_000 };
const LIFETIME = 60_000;

/** Milliseconds between looks, for the change whose notification was lost. */
const POLL_INTERVAL = 5_000;

/** Any number, if it is the same in every instance. */
const WRITERS_LOCK = 7_251_936_204;
const CHANNEL = "countersign_epoch";

// A bigint arrives as text, for what JavaScript's numbers cannot hold; ours are milliseconds and counters.
const INT8 = 20;
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: "text") =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/**
 * Opens the store that many instances share, its schema up to date.
 *
 * @throws StartupError where it cannot be reached or used; never with the password in it
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  try {
    return await openStore(options);
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const reason = error instanceof Error ? (error.cause ?? error) : error;
    throw new StartupError(
      `cannot use the database ${placeOf(options.url)}: ${wordsFor(reason)}; ` +
        "check --database (or COUNTERSIGN_DATABASE), and that the server runs",
      { cause: error },
    );
  }
}

async function openStore({
  url,
  poolSize,
  beforeMigration,
  connectionLifetime = LIFETIME,
}: PostgresOptions): Promise<Store> {
  const settings = connectionSettings(url, {
    types,
    application_name: "countersign-core",
    connectionTimeoutMillis: TIMEOUTS.connect,
    query_timeout: TIMEOUTS.answer,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  const connect = (max: number, patience: number) => {
    const pool = createPostgresPool({ max, patience, lifetime: connectionLifetime }, settings);
    return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  };
  // Writers come one at a time anyway: those of this instance wait for each other here, and keep no reader waiting.
  const writer = connect(1, TIMEOUTS.write);
  const reader = connect(poolSize - 1, TIMEOUTS.connect);
  const watcher = new EpochWatcher(settings, CHANNEL, connectionLifetime);
  const engine: SqlEngine = {
    reader,
    writer,
    shortWriter: reader, // its connections do not wait for the writers' lock
    now: () => sql<number>`floor(extract(epoch from clock_timestamp()) * 1000)::bigint`,
    async lockWriters(transaction, waited) {
      const patience = String(Math.max(1, Math.floor(TIMEOUTS.write - waited))); // 0 would be for ever
      // What is acknowledged is on disk, even where the server has been told not to care.
      await sql`
        with settings as (
          select set_config('lock_timeout', ${patience}, true),
            set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true)
        )
        select pg_advisory_xact_lock(${WRITERS_LOCK}) from settings
      `.execute(transaction);
    },
    async announce(transaction) {
      await sql`select pg_notify(${CHANNEL}, '')`.execute(transaction); // sent by the commit
    },
    watch: (listener) => watcher.watch(listener),
    pollInterval: POLL_INTERVAL,
    async schema() {
      const { rows } = await sql<{ schema: string | null }>`select current_schema() as schema`.execute(reader);
      return rows[0]?.schema ?? undefined;
    },
    async close() {
      await watcher.close();
      await reader.destroy();
      await writer.destroy();
    },
  };
  try {
    await migrate(engine, beforeMigration);
    return createSqlStore(engine);
  } catch (error) {
    await engine.close();
    throw error;
  }
}
