import type { SqliteDatabase } from "../../src/adapters/sqlite-driver.ts";

/** A connection of somebody else's, by the same driver as the store's. */
export async function openDatabase(path: string): Promise<SqliteDatabase> {
  const { DatabaseSync } = (await import("@photostructure/sqlite")) as {
    DatabaseSync: new (path: string) => SqliteDatabase;
  };
  return new DatabaseSync(path);
}
