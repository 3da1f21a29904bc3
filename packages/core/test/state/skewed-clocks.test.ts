// R8 on the embedded store. faults/postgres.test.ts covers PostgreSQL.
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { expect, it } from "vitest";
import { partsOf, startTestCore } from "../support/core.ts";
import { openDatabase } from "../support/sqlite.ts";
import { join } from "node:path";

it("R8 instances on one directory whose own clocks are 5 minutes off, either way, stamp the store's time on valid tokens", async () => {
  // Monotonic clocks of different processes: one that began long ago, a new one, one of a machine that slept.
  const offsets = [-300_000, 0, 1_000, 300_000];
  const first = await startTestCore({}, { clock: { now: Date.now, monotonic: () => performance.now() + offsets[0]! } });
  const { dataDir } = first;
  const cores = [first];
  for (const offset of offsets.slice(1)) {
    const clock = { now: Date.now, monotonic: () => performance.now() + offset };
    cores.push(await startTestCore({ dataDir }, { clock }));
  }
  for (const core of cores) {
    for (const useStaticSigningKey of [true, false]) {
      const before = Date.now() / 1000;
      const token = await core.mint({ useStaticSigningKey });
      const after = Date.now() / 1000;
      const iat = partsOf(token).claims["iat"] as number;
      expect(iat).toBeGreaterThanOrEqual(Math.floor(before - 0.25));
      expect(iat).toBeLessThanOrEqual(after + 0.25);
      for (const verifier of cores) {
        const jwks = createLocalJWKSet({ keys: await verifier.keys() } as unknown as JSONWebKeySet);
        await jwtVerify(token, jwks, { clockTolerance: 1 });
      }
    }
  }
  // All sign with the same key, and its dates are the store's, whichever instance created it.
  const kids = await Promise.all(cores.map(async (core) => partsOf(await core.mint()).header["kid"]));
  expect(new Set(kids).size).toBe(1);
  const database = await openDatabase(join(dataDir, "countersign.db"));
  const rows = database.prepare("select created_at from signing_keys").all() as { created_at: number }[];
  database.close();
  for (const { created_at } of rows) expect(Math.abs(created_at - Date.now())).toBeLessThan(60_000);
});
