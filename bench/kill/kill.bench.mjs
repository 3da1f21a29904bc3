// R1: kill -9 at random points of a core whose keys live for seconds. ROUNDS (default 1,000); COUNTERSIGN_DATABASE
// selects PostgreSQL, with an empty database. Default: SQLite in a temporary directory.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killRounds } from "./kill-rounds.mjs";

const rounds = Number(process.env["ROUNDS"] ?? 1_000);
const database = process.env["COUNTERSIGN_DATABASE"];
const dataDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
const report = await killRounds({
  rounds,
  dataDir,
  database,
  onRound: (round) => {
    if (round > 0 && round % 50 === 0) console.log(`${round} rounds`);
  },
});
await rm(dataDir, { recursive: true, force: true });

const ready = report.ready.sort((a, b) => a - b);
console.log(
  `${rounds} kills on ${database === undefined ? "SQLite" : "PostgreSQL"}, ${report.killedAtStart} of them during the start`,
);
console.log(`ready after      median ${ready[ready.length >> 1]?.toFixed(0)} ms, most ${ready.at(-1)?.toFixed(0)} ms`);
console.log(`tokens           ${report.tokens} issued, ${report.verified} verified after a kill`);
console.log(`keys             ${report.keys} acknowledged`);
console.log(`problems         ${report.problems.length}`);
for (const problem of report.problems.slice(0, 20)) console.log(`  ${problem}`);
if (report.problems.length > 0) process.exitCode = 1;
