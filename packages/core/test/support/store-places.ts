import { join } from "node:path";
import { openPostgresStore } from "../../src/adapters/postgres/postgres-store.ts";
import { openSqliteStore } from "../../src/adapters/sqlite/sqlite-store.ts";
import type { Store } from "../../src/ports/store.ts";
import { sharedPostgres } from "./postgres.ts";
import { tempDir } from "./temp-dir.ts";

/** Creates storage in real time. @returns a function that opens a store on it, once per instance */
export async function onSqlite(): Promise<() => Promise<Store>> {
  const dataDir = join(await tempDir(), "data");
  return () => openSqliteStore({ dataDir });
}

export async function onPostgres(): Promise<() => Promise<Store>> {
  const url = await (await sharedPostgres()).newDatabase();
  return () => openPostgresStore({ url, poolSize: 2 });
}
