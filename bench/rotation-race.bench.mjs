// R7 whole: 16 instances rotate at once, on SQLite and on PostgreSQL, and exactly one key is made each time. It is the
// test of the same name with more rounds: 10,000, or as many as ROUNDS says.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const test = "packages/core/test/use-cases/rotation-race.test.ts";

const child = spawn(process.execPath, [vitest, "run", test], {
  cwd: root,
  env: { ...process.env, ROUNDS: process.env["ROUNDS"] ?? "10000" },
  stdio: "inherit",
});
process.exitCode = await new Promise((resolve) => child.on("close", resolve));
