// Measures what the verifier adds to a service: bytes in its bundle, and milliseconds before its first line.
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "tsdown";

const ENTRY = fileURLToPath(new URL("./entry.mjs", import.meta.url));
const SDK = fileURLToPath(new URL("../../packages/sdk/package.json", import.meta.url));
const HERE = fileURLToPath(new URL(".", import.meta.url));

/** @returns {Promise<{ minified: number, gzipped: number }>} bytes of a bundle that can verify, and nothing else */
export async function bundleSize() {
  const outDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
  await build({
    config: false,
    entry: { bundle: ENTRY },
    outDir,
    format: "esm",
    platform: "node",
    minify: true,
    dts: false,
    deps: { alwaysBundle: [/.*/] },
    logLevel: "silent",
  });
  const files = await readdir(outDir);
  const bundle = Buffer.concat(await Promise.all(files.map((file) => readFile(join(outDir, file)))));
  await rm(outDir, { recursive: true });
  const foreign = [...bundle.toString().matchAll(/\b(?:from|import)[\s(]*"([^"]+)"/g)].filter(
    ([, name]) => !name?.startsWith("node:"),
  );
  if (foreign.length > 0) throw new Error(`the bundle imports ${foreign.map(([, name]) => name).join(", ")}`);
  return { minified: bundle.length, gzipped: gzipSync(bundle, { level: 9 }).length };
}

/** @returns {Promise<number>} packages that come with the SDK */
export async function runtimeDependencies() {
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(await readFile(SDK, "utf8"));
  return Object.keys({ ...dependencies, ...optionalDependencies }).length;
}

/** @param {number} rounds @returns {number[]} milliseconds by which the first line comes later than in an empty process */
export function importTimes(rounds) {
  const withImport = `import "countersign"; ${PRINT_TIME}`;
  timeOf(withImport); // fills the file system cache
  return Array.from({ length: rounds }, () => {
    const empty = timeOf(PRINT_TIME);
    return timeOf(withImport) - empty;
  });
}

const PRINT_TIME = "process.stdout.write(String(performance.now()))"; // since the process started

/** @param {string} code @returns {number} milliseconds */
function timeOf(code) {
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", code], { cwd: HERE });
  const ms = Number(stdout);
  if (stdout.length === 0 || Number.isNaN(ms)) throw new Error(String(stderr));
  return ms;
}
