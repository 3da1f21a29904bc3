// A core that issues tokens while its master key changes.
import { expect, vi } from "vitest";
import { join } from "node:path";
import { openDatabase } from "../../packages/core/test/support/sqlite.ts";

export const ADMIN_KEY = "admin-key-of-the-tests-01";
// A new key every four seconds, so that the core creates keys while the master key changes.
const ROTATION = { lead: 3, period: 4, hold: 60, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };
export const ENV = { COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY, COUNTERSIGN_ROTATION: JSON.stringify(ROTATION) };

/** ES256 keys are generated faster than RSA keys. */
export async function signWithES256(url: string): Promise<void> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const body = JSON.stringify({ algorithms: ["ES256"] });
  const response = await fetch(`${url}/admin/v1/apps/public/algorithms`, { method: "PUT", headers, body });
  expect(response.status).toBe(200);
}

export interface Issuing {
  /** Resolves when this many more tokens have been issued. */
  more(count: number): Promise<void>;
  stop(): Promise<{ tokens: string[]; failures: string[] }>;
}

/** Issues tokens with static and dynamic keys, one after another, until it is stopped. */
export function issueTokens(url: string): Issuing {
  const tokens: string[] = [];
  const failures: string[] = [];
  const state = { stopped: false };
  const running = (async () => {
    for (let i = 0; !state.stopped; i++) {
      const fields = {
        payload: { sub: "orders", source: "microservice" },
        algorithm: "ES256",
        jwksDomain: "https://a.test",
        validity: 3600,
      };
      const body = JSON.stringify({ ...fields, useStaticSigningKey: i % 2 === 0 });
      const text = await (await fetch(`${url}/recipe/jwt`, { method: "POST", body })).text();
      if (text.includes('"status":"OK"')) tokens.push((JSON.parse(text) as { jwt: string }).jwt);
      else failures.push(text);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    async more(count) {
      const goal = tokens.length + count;
      await vi.waitFor(() => expect(tokens.length).toBeGreaterThanOrEqual(goal), { timeout: 10_000, interval: 20 });
    },
    async stop() {
      state.stopped = true;
      await running;
      return { tokens, failures };
    },
  };
}

/** Returns the IDs of the master keys that the stored keys are encrypted with. */
export async function masterKeysIn(dataDir: string): Promise<string[]> {
  const database = await openDatabase(join(dataDir, "countersign.db"));
  try {
    const rows = database.prepare("select distinct master_key_id as id from signing_keys").all();
    return (rows as { id: string }[]).map((row) => row.id);
  } finally {
    database.close();
  }
}
