import type { BeforeMigration } from "../adapters/sql/migrate.ts";
import { openSqliteStore } from "../adapters/sqlite/sqlite-store.ts";
import type { Store } from "../ports/store.ts";

export interface StoreOptions {
  /** `postgres://...`; undefined: the embedded store. */
  readonly database: string | undefined;
  /** The maximum number of PostgreSQL connections. */
  readonly poolSize: number;
  /** The directory of the embedded store. */
  readonly dataDir: string;
  /** The clock of the embedded store, milliseconds since the epoch; PostgreSQL has its own. */
  readonly now: () => number;
  readonly beforeMigration?: BeforeMigration | undefined;
}

/**
 * Opens the configured store.
 *
 * @throws StartupError if the store cannot be used
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { database, poolSize, dataDir, now, beforeMigration } = options;
  if (database === undefined) return openSqliteStore({ dataDir, now, beforeMigration });
  // Load the PostgreSQL driver only if it is used: this makes an embedded core start faster.
  const { openPostgresStore } = await import("../adapters/postgres/postgres-store.ts");
  return openPostgresStore({ url: database, poolSize, beforeMigration });
}
