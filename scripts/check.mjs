// Runs every check that does not run the product: `npm run check`, or `npm run check -- NAME` for those whose name
// contains NAME. Two run at a time on two CPUs. Builds the packages first if a check reads them (not with --no-build).
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const PATH = `${join(root, "node_modules", ".bin")}:${process.env["PATH"]}`;

/** @typedef {{ name: string, command: string, readsBuild?: boolean }} Check */

/** The longest first, so that no long one is left to run alone at the end. @type {readonly Check[]} */
const CHECKS = [
  { name: "lint", command: "oxlint --type-aware --deny-warnings" },
  { name: "format", command: "prettier --check ." },
  { name: "types of packages/core", command: "tsc -p packages/core" },
  { name: "types of test", command: "tsc -p test" },
  { name: "types of bench", command: "tsc -p bench" },
  { name: "types of packages/sdk", command: "tsc -p packages/sdk" },
  { name: "types of examples", command: "tsc -p examples" },
  { name: "unused code and dependencies", command: "knip" },
  { name: "types of countersign as installed", command: "attw --pack packages/sdk", readsBuild: true },
  {
    name: "types of countersign-core as installed",
    command: "attw --pack packages/core --profile esm-only",
    readsBuild: true,
  },
  { name: "layers", command: "node scripts/check-layers.mjs" },
  { name: "exports of countersign", command: "node scripts/generate-exports.mjs --check" },
  { name: "catalog", command: "node scripts/check-catalog.mjs" },
  { name: "package countersign", command: "publint --strict packages/sdk", readsBuild: true },
  { name: "package countersign-core", command: "publint --strict packages/core", readsBuild: true },
  { name: "types of scripts", command: "tsc -p scripts" },
  // Without the types of Node, the compiler rejects I/O and clocks in the pure folders.
  { name: "purity of the protocol", command: "tsc -p packages/sdk/tsconfig.pure.json" },
  { name: "purity of the domain", command: "tsc -p packages/core/tsconfig.pure.json" },
];

/**
 * @param {string} command its words, separated by spaces
 * @returns {Promise<{ ok: boolean, output: string, seconds: string }>}
 */
function run(command) {
  const began = performance.now();
  const [program = "", ...parameters] = command.split(" ");
  return new Promise((resolve) => {
    const child = spawn(program, parameters, {
      cwd: root,
      env: { ...process.env, PATH },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += String(chunk)));
    child.stderr.on("data", (chunk) => (output += String(chunk)));
    child.on("error", (error) => (output += `${error.message}\n`));
    child.on("close", (code) => {
      resolve({ ok: code === 0, output, seconds: ((performance.now() - began) / 1000).toFixed(1) });
    });
  });
}

const { values: options, positionals: names } = parseArgs({
  options: { "no-build": { type: "boolean" } },
  allowPositionals: true,
});
const unknown = names.filter((name) => !CHECKS.some((check) => check.name.includes(name)));
if (unknown.length > 0) {
  const known = CHECKS.map(({ name }) => `  ${name}`).join("\n");
  console.error(`check not found: ${unknown.join(", ")}\n\nchecks, each by a part of its name:\n${known}`);
  process.exit(2);
}
const selected = CHECKS.filter((check) => names.length === 0 || names.some((name) => check.name.includes(name)));

if (options["no-build"] !== true && selected.some(({ readsBuild }) => readsBuild)) {
  const build = await run("node scripts/build.mjs");
  console.log(`${build.ok ? "ok    " : "FAILED"} build (${build.seconds} s)`);
  if (!build.ok) {
    console.log(build.output);
    process.exit(1);
  }
}

const waiting = [...selected];
/** @type {string[]} */
const failed = [];
async function runNext() {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
    const { ok, output, seconds } = await run(check.command);
    console.log(`${ok ? "ok    " : "FAILED"} ${check.name} (${seconds} s)`);
    if (ok) continue;
    failed.push(check.name);
    console.log(output);
  }
}
await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, runNext));
if (failed.length > 0) {
  console.log(`${failed.length} of ${selected.length} checks failed: ${failed.join(", ")}`);
  process.exit(1);
}
