// Many processes on one PostgreSQL that rotate keys at the same time.
import { readdir } from "node:fs/promises";
import { expect, test, vi } from "vitest";
import { describeOnPostgres, note, type PostgresServer } from "../../packages/core/test/support/postgres.ts";
import { admin, environmentOn, keysOf, mint, rejectionsOf, type KeyView } from "../support/core-client.ts";
import { startCoreProcess, temporaryDirectory } from "../support/processes.ts";

await describeOnPostgres(describeProcesses);

function describeProcesses(server: PostgresServer): void {
  test("R7 sixteen processes that start at once on an empty database, and rotate every four seconds, create one key each time", async () => {
    const rotation = { lead: 3, period: 4, hold: 24, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };
    const env = { ...environmentOn(await server.newDatabase(), rotation), COUNTERSIGN_POOL_SIZE: "2" };
    const place = await temporaryDirectory();
    const cores = await Promise.all(Array.from({ length: 16 }, () => startCoreProcess(place, [], env)));
    await admin(cores[0]!.url, "PUT", "/apps/public/algorithms", { algorithms: ["ES256"] });

    const seen = new Map<string, KeyView>();
    const began = Date.now();
    for (let round = 0; Date.now() - began < 20_000; round++) {
      const issuer = cores[round % cores.length]!.url;
      for (const key of await keysOf(issuer)) seen.set(key.kid, key);
      // One core issues the token, a verifier of another core accepts it. The promise is one second; the margin of four
      // covers sixteen processes on two CPUs.
      const tokens = [await mint(issuer, true, "ES256"), await mint(issuer, false, "ES256")];
      const other = cores[(round + 7) % cores.length]!.url;
      await vi.waitFor(async () => expect(await rejectionsOf(other, tokens)).toEqual([]), { timeout: 5_000 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    for (const algorithm of ["RS256", "ES256"]) {
      const made = [...seen.values()].filter((key) => key.algorithm === algorithm);
      expect(made.filter((key) => key.kind === "static")).toHaveLength(1);
      // Exactly one key signs at any time: each key starts when its predecessor ends or, if a busy machine
      // created it late, up to a lead after that.
      const dynamic = made.filter((key) => key.kind === "dynamic");
      dynamic.sort((a, b) => Date.parse(a.signsFrom) - Date.parse(b.signsFrom));
      expect(dynamic.length).toBeGreaterThanOrEqual(algorithm === "ES256" ? 5 : 1);
      for (const [i, key] of dynamic.slice(1).entries()) {
        const late = Date.parse(key.signsFrom) - Date.parse(dynamic[i]!.signsUntil!);
        expect(late).toBeGreaterThanOrEqual(0);
        expect(late).toBeLessThan(3_000);
      }
    }
    const sets = await Promise.all(
      cores.map(async ({ url }) => (await fetch(`${url}/.well-known/jwks-all.json`)).headers.get("etag")),
    );
    note(`R7 16 processes: ${seen.size} keys, ${new Set(sets).size} key set(s) served`);
    expect(await readdir(place)).toEqual([]);
  }, 90_000);
}
