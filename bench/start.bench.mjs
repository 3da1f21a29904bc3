// Measures how soon a core is ready: from the start of the process to its line on stdout. The first start generates RSA
// keys, which takes a different time each time; later ones read them.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROUNDS = 20;
const bin = join(dirname(fileURLToPath(import.meta.url)), "..", "packages", "core", "bin", "countersign.js");

/** @param {string} dataDir @returns {Promise<number>} milliseconds */
function start(dataDir) {
  const began = performance.now();
  const core = spawn(process.execPath, [bin, "start", "--port", "0", "--data-dir", dataDir], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  return new Promise((resolve, reject) => {
    /** @type {number | undefined} */
    let ready;
    core.stdout.once("data", () => {
      ready = performance.now() - began;
      core.kill("SIGTERM");
    });
    core.on("exit", () => (ready === undefined ? reject(new Error("the core did not start")) : resolve(ready)));
  });
}

/** @type {{ first: number[], later: number[] }} */
const times = { first: [], later: [] };
for (let round = 0; round < ROUNDS; round++) {
  const dataDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
  times.first.push(await start(dataDir));
  times.later.push(await start(dataDir));
  await rm(dataDir, { recursive: true, force: true });
}

console.log(`ready, ms, ${ROUNDS} rounds       min  median     max`);
for (const [name, all] of Object.entries(times)) {
  const sorted = all.sort((a, b) => a - b);
  const cells = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map((ms) => (ms ?? NaN).toFixed(0).padStart(8));
  console.log(`${`${name} start`.padEnd(22)}${cells.join("")}`);
}
