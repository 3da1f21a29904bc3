import { expect } from "vitest";
import type { FakeClock } from "./clock.ts";
import { ADMIN_KEY, API_KEY, type TestCore } from "./core.ts";
import { callServices, newCredential } from "./services.ts";

/** Every kind of key or secret that a request can have. */
export const KINDS = [
  "none",
  "a wrong key",
  "an API key",
  "an admin key",
  "a service",
  "a service of another app",
  "a wrong credential",
  "a revoked credential",
  "an expired credential",
  "a credential of a disabled service",
  "a credential of a deleted service",
] as const;
export type Kind = (typeof KINDS)[number];

/** Kinds that must all get the same response. */
export const INVALID_KINDS: readonly Kind[] = KINDS.filter(
  (kind) => kind.startsWith("a wrong") || / another | credential/.test(kind),
);

/** Creates one credential of each kind (`null`: nothing to send) and the app `shop`, and advances the clock by a minute. */
export async function makeCredentials(core: TestCore, clock: FakeClock): Promise<ReadonlyMap<Kind, string | null>> {
  const shop = { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "shop" } };
  expect((await core.call("/recipe/multitenancy/app/v2", shop)).status).toBe(200);
  const made = async (name: string, facts?: Parameters<typeof newCredential>[2]) =>
    (await newCredential(core, name, facts)).credential;
  const presented = new Map<Kind, string | null>([["none", null]]);
  presented.set("a wrong key", "wrong-key-wrong-key-wrong");
  presented.set("an API key", API_KEY).set("an admin key", ADMIN_KEY);
  presented.set("a service", await made("orders"));
  presented.set("a service of another app", await made("orders", { app: "shop" }));
  presented.set("a wrong credential", `cs_orders_${"A".repeat(43)}`);
  const revoked = await newCredential(core, "orders");
  await callServices(core, `/orders/credentials/${revoked.id}/revoke`, {});
  presented.set("a revoked credential", revoked.credential);
  presented.set("an expired credential", await made("orders", { expiresAt: clock.now() + 60_000 }));
  presented.set("a credential of a disabled service", await made("disabled"));
  await callServices(core, "/disabled/disable", {});
  presented.set("a credential of a deleted service", await made("deleted"));
  await callServices(core, "/deleted/delete", {});
  clock.advance(60_000);
  return presented;
}

/** Returns the secret part of a key or credential: for a credential, its random part. */
export function canaryOf(key: string): string {
  return key.replace(/^cs_[^_]+_/, "");
}
