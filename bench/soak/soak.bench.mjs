// R22: keys of 10 s and tokens of 5 s. SECONDS (default 60; 86400 is a day), KEY_SECONDS, TOKEN_SECONDS;
// COUNTERSIGN_DATABASE selects PostgreSQL, with an empty database. Default: SQLite in a temporary directory.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { soak } from "./soak.mjs";

/** @param {string} name @param {number} otherwise */
const numberIn = (name, otherwise) => Number(process.env[name] ?? otherwise);

const seconds = numberIn("SECONDS", 60);
const database = process.env["COUNTERSIGN_DATABASE"];
const dataDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
const report = await soak({
  seconds,
  dataDir,
  database,
  keySeconds: numberIn("KEY_SECONDS", 10),
  tokenSeconds: numberIn("TOKEN_SECONDS", 5),
});
await rm(dataDir, { recursive: true, force: true });

console.log(`${seconds} s, two cores on ${database === undefined ? "SQLite" : "PostgreSQL"}, two verifiers`);
console.log(`tokens    ${report.tokens} issued by ${report.kids} keys, ${report.clamped} of them ended with their key`);
console.log(`verified  ${report.verified} times: at once and just before their exp, at each verifier`);
console.log(`pauses    ${report.longestPause} ms at most between two tokens of one core and kind`);
console.log(`gaps      ${report.gaps.length}`);
for (const gap of report.gaps.slice(0, 20)) console.log(`  ${gap}`);
if (report.gaps.length > 0) process.exitCode = 1;
