import { Kysely, PostgresDialect, sql } from "kysely";
import pg from "pg";
import type { Store } from "../../ports/store.ts";
import { StartupError } from "../../ports/startup-error.ts";
import { placeOf } from "./database-url.ts";
import { connectionSettings } from "./postgres-connection.ts";
import { createPostgresPool, describeError } from "./postgres-pool.ts";
import { EpochWatcher } from "./postgres-watcher.ts";
import type { Schema } from "../sql/schema.ts";
import { createSqlStore } from "../sql/sql-store.ts";
import type { SqlEngine } from "../sql/sql-engine.ts";
import { migrate, type BeforeMigration } from "../sql/migrate.ts";

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** Maximum number of connections, at least 2, in addition to the one for notifications. */
  readonly poolSize: number;
  /** Milliseconds after which a connection is replaced. Default 60,000. */
  readonly connectionLifetime?: number;
  readonly beforeMigration?: BeforeMigration | undefined;
}

/** Milliseconds. `write` covers waiting for the connection and the lock together. */
const TIMEOUTS = { connect: 2_000, write: 4_500, response: 6_000 };
const LIFETIME = 60_000;

/** Milliseconds; polling finds changes whose notification was lost. */
const POLL_INTERVAL = 5_000;

/** An arbitrary number, the same in every instance. */
const WRITERS_LOCK = 7_251_936_204;
const CHANNEL = "countersign_epoch";

// The driver returns a bigint as text, because it can exceed JavaScript's numbers; milliseconds and counters do not.
const INT8 = 20;
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: "text") =>
    oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/**
 * Opens the store that many instances share, and updates its schema.
 *
 * @throws StartupError if it is unreachable or unusable; never contains the password
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  try {
    return await openStore(options);
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const reason = error instanceof Error ? (error.cause ?? error) : error;
    throw new StartupError(
      `cannot use the database ${placeOf(options.url)}: ${describeError(reason)}; ` +
        "check --database (or COUNTERSIGN_DATABASE), and that the server is running",
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
    query_timeout: TIMEOUTS.response,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  });
  const connect = (max: number, timeout: number) => {
    const pool = createPostgresPool({ max, timeout, lifetime: connectionLifetime }, settings);
    return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  };
  // Writers run one at a time anyway, so one connection is enough, and waiting writers leave the others to readers.
  const writer = connect(1, TIMEOUTS.write);
  const reader = connect(poolSize - 1, TIMEOUTS.connect);
  const watcher = new EpochWatcher(settings, CHANNEL, connectionLifetime);
  const engine: SqlEngine = {
    reader,
    writer,
    shortWriter: reader, // its connections do not wait for the writers' lock
    now: () => sql<number>`floor(extract(epoch from clock_timestamp()) * 1000)::bigint`,
    async lockWriters(transaction, waited) {
      const timeout = String(Math.max(1, Math.floor(TIMEOUTS.write - waited))); // 0 would disable it
      // A commit reaches the disk before we respond, even if the server is configured otherwise.
      await sql`
        with settings as (
          select set_config('lock_timeout', ${timeout}, true),
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
