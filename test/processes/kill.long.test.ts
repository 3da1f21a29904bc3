// Kills a core at random moments (R1). `npm run bench -- kill` runs 1,000 rounds.
import { expect, test } from "vitest";
import { killRounds } from "../../bench/kill/kill-rounds.mjs";
import { itOnPostgres, sharedPostgres } from "../../packages/core/test/support/postgres.ts";
import { temporaryDirectory } from "../support/processes.ts";
import { rounds } from "../support/rounds.ts";

const KILLS = rounds({ quick: 5, short: 10, full: 30 });

type Report = Awaited<ReturnType<typeof killRounds>>;

function expectNothingLost(report: Report): void {
  expect(report.problems).toEqual([]);
  // R1 promises 2 s. The median is held against it: other processes on the machine delay single starts.
  const ready = report.ready.sort((a, b) => a - b);
  expect(ready[ready.length >> 1]).toBeLessThan(2_000);
  // Otherwise the test proves nothing.
  expect(report.verified).toBeGreaterThan(10 * report.rounds);
  expect(report.keys).toBeGreaterThan(report.rounds / 10);
}

test(`R1 ${KILLS} kills of a core with keys of a few seconds lose no key and no token; it is ready within 2 s`, async () => {
  expectNothingLost(await killRounds({ rounds: KILLS, dataDir: await temporaryDirectory() }));
}, 180_000);

itOnPostgres(
  `R1 ${KILLS} kills on PostgreSQL`,
  async () => {
    const database = await (await sharedPostgres()).newDatabase();
    expectNothingLost(await killRounds({ rounds: KILLS, dataDir: await temporaryDirectory(), database }));
  },
  180_000,
);
