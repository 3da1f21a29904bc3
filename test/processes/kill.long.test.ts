// R1, its short form; `npm run bench -- kill` runs it whole, on both databases.
import { expect, test } from "vitest";
import { killRounds } from "../../bench/kill/kill-rounds.mjs";
import { itOnPostgres, sharedPostgres } from "../../packages/core/test/support/postgres.ts";
import { temporaryDirectory } from "../support/processes.ts";

type Report = Awaited<ReturnType<typeof killRounds>>;

function expectNothingLost(report: Report): void {
  expect(report.problems).toEqual([]);
  // Other test files share the machine, so one start in twenty may be late here; the bench shows the slowest.
  const ready = report.ready.sort((a, b) => a - b);
  expect(ready[Math.floor(ready.length * 0.95)]).toBeLessThan(2_000);
  // Or nothing was tested.
  expect(report.verified).toBeGreaterThan(10 * report.rounds);
  expect(report.keys).toBeGreaterThan(report.rounds / 10);
}

test("R1 30 kills at random points of a core with keys of seconds: no key and no token is lost, ready within 2 s", async () => {
  expectNothingLost(await killRounds({ rounds: 30, dataDir: await temporaryDirectory() }));
}, 180_000);

itOnPostgres(
  "R1 30 of them on PostgreSQL",
  async () => {
    const database = await (await sharedPostgres()).newDatabase();
    expectNothingLost(await killRounds({ rounds: 30, dataDir: await temporaryDirectory(), database }));
  },
  180_000,
);
