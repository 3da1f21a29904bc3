import { openSqliteStore } from "../../src/adapters/sqlite.ts";
import type { Store } from "../../src/ports/store.ts";

export async function registerServices(store: Store, names: readonly string[], appId = "public"): Promise<void> {
  await store.write(async ({ services }) => {
    for (const name of names) await services.insert(appId, name);
  });
}

/** The same behind the back of whatever core runs on the directory. */
export async function registerServicesIn(dataDir: string, names: readonly string[], appId?: string): Promise<void> {
  const store = await openSqliteStore({ dataDir });
  try {
    await registerServices(store, names, appId);
  } finally {
    await store.close();
  }
}
