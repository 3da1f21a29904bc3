import type { SqliteDatabase } from "../../src/adapters/sqlite/sqlite-driver.ts";
import { usableSqliteDrivers } from "../../src/adapters/sqlite/sqlite-store.ts";

/**
 * A connection in addition to the store's, with the same driver: a process owns the locks of a file, so two copies of
 * SQLite in one process do not see each other's.
 */
export async function openDatabase(path: string): Promise<SqliteDatabase> {
  const [driver] = await usableSqliteDrivers();
  const { DatabaseSync } = (await import(driver!)) as { DatabaseSync: new (path: string) => SqliteDatabase };
  return new DatabaseSync(path);
}
