import { expect } from "vitest";
import { openSqliteStore } from "../../src/adapters/sqlite/sqlite-store.ts";
import type { Store } from "../../src/ports/store.ts";
import type { NewCredential } from "../../src/use-cases/services/manage-services.ts";
import { ADMIN_KEY, type Answer, type TestCore } from "./core.ts";

/** The admin API below `/apps/:app/services`. */
export function callServices(core: TestCore, path: string, body?: unknown, app = "public"): Promise<Answer> {
  const method = body === undefined ? "GET" : "POST";
  return core.call(`/admin/v1/apps/${app}/services${path}`, { method, apiKey: ADMIN_KEY, body });
}

/** Registers a service if it is missing, and creates a credential for it. */
export async function newCredential(
  core: TestCore,
  service: string,
  { app = "public", expiresAt = null }: { app?: string; expiresAt?: number | null } = {},
): Promise<NewCredential> {
  expect([200, 409]).toContain((await callServices(core, "", { name: service }, app)).status);
  const body = { expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString() };
  const added = await callServices(core, `/${service}/credentials`, body, app);
  expect([added.status, added.text]).toEqual([200, expect.anything()]);
  return added.json["credential"] as NewCredential;
}

export async function registerServices(store: Store, names: readonly string[], appId = "public"): Promise<void> {
  await store.write(async ({ services }) => {
    for (const name of names) await services.insert(appId, name);
  });
}

/** Registers services directly in the store; a running core finds them at its next poll. */
export async function registerServicesIn(dataDir: string, names: readonly string[], appId?: string): Promise<void> {
  const store = await openSqliteStore({ dataDir });
  try {
    await registerServices(store, names, appId);
  } finally {
    await store.close();
  }
}
