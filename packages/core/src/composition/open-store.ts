import type { Store } from "../ports/store.ts";
import type { BeforeMigration } from "../adapters/sql/migrate.ts";
import { openSqliteStore } from "../adapters/sqlite/sqlite-store.ts";

export interface StoreOptions {
  /** `postgres://...`; undefined: the embedded store. */
  readonly database: string | undefined;
  /** Connections to PostgreSQL at most. */
  readonly poolSize: number;
  /** Directory of the embedded store. */
  readonly dataDir: string;
  /** Clock of the embedded store, milliseconds since the epoch; PostgreSQL has its own. */
  readonly now: () => number;
  readonly beforeMigration?: BeforeMigration | undefined;
}

/**
 * Opens the store that is configured.
 *
 * @throws StartupError where it cannot be used
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { database, poolSize, dataDir, now, beforeMigration } = options;
  if (database === undefined) return openSqliteStore({ dataDir, now, beforeMigration });
  const { openPostgresStore } = await import("../adapters/postgres/postgres-store.ts"); // who does without it need not wait for its driver
  return openPostgresStore({ url: database, poolSize, beforeMigration });
}
