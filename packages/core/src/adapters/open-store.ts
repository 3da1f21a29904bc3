import type { Store } from "../ports/store.ts";
import { openSqliteStore } from "./sqlite.ts";

export interface StoreOptions {
  /** `postgres://...`; undefined: the embedded store. */
  readonly database: string | undefined;
  /** Connections to PostgreSQL at most. */
  readonly poolSize: number;
  /** Directory of the embedded store. */
  readonly dataDir: string;
  /** Clock of the embedded store, milliseconds since the epoch; PostgreSQL has its own. */
  readonly now: () => number;
}

/**
 * Opens the store that is configured.
 *
 * @throws StartupError where it cannot be used
 */
export async function openStore({ database, poolSize, dataDir, now }: StoreOptions): Promise<Store> {
  if (database === undefined) return openSqliteStore({ dataDir, now });
  const { openPostgresStore } = await import("./postgres.ts"); // who does without it need not wait for its driver
  return openPostgresStore({ url: database, poolSize });
}
