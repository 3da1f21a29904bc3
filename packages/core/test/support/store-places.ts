import { join } from "node:path";
import { openPostgresStore } from "../../src/adapters/postgres/postgres-store.ts";
import { openSqliteStore } from "../../src/adapters/sqlite/sqlite-store.ts";
import type { Store } from "../../src/ports/store.ts";
import { sharedPostgres } from "./postgres.ts";
import { tempDir } from "./temp-dir.ts";

/** A new place for a store in real time. @returns opens it, as often as there are instances */
export async function onSqlite(): Promise<() => Promise<Store>> {
  const dataDir = join(await tempDir(), "data");
  return () => openSqliteStore({ dataDir });
}

export async function onPostgres(): Promise<() => Promise<Store>> {
  const url = await (await sharedPostgres()).newDatabase();
  return () => openPostgresStore({ url, poolSize: 2 });
}
