import type { SqliteDatabase } from "../../src/adapters/sqlite/sqlite-driver.ts";
import { usableSqliteDrivers } from "../../src/adapters/sqlite/sqlite-store.ts";

/**
 * A connection of somebody else's, by the same driver as the store's: the locks of a file are a process's, so two copies
 * of SQLite in one process do not see each other's.
 */
export async function openDatabase(path: string): Promise<SqliteDatabase> {
  const [driver] = await usableSqliteDrivers();
  const { DatabaseSync } = (await import(driver!)) as { DatabaseSync: new (path: string) => SqliteDatabase };
  return new DatabaseSync(path);
}
