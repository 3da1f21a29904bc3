import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");

/**
 * Runs one test file of the long run with more rounds. COUNTERSIGN_TEST_ROUNDS overrides the number.
 *
 * @param {string} file
 * @param {number} rounds
 */
export async function runTest(file, rounds) {
  const env = { COUNTERSIGN_TEST_ROUNDS: String(rounds), ...process.env };
  const command = [vitest, "run", "--mode", "long", file];
  const child = spawn(process.execPath, command, { cwd: root, env, stdio: "inherit" });
  process.exitCode = await new Promise((resolve) => child.on("close", resolve));
}
