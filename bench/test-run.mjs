import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");

/**
 * Runs one test file as the suite does, with more of what its variables count; what the environment says wins.
 *
 * @param {string} file
 * @param {Record<string, string>} variables
 */
export async function runTest(file, variables) {
  const env = { ...variables, ...process.env };
  const child = spawn(process.execPath, [vitest, "run", ...(file.includes(".long.") ? ["--mode", "long"] : []), file], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  process.exitCode = await new Promise((resolve) => child.on("close", resolve));
}
