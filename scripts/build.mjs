// Builds everything in the order in which it depends on each other. What the tools print is shown only if they fail.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { argv, execPath, exit, stdout } from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const tsdown = join(dirname(createRequire(import.meta.url).resolve("tsdown/package.json")), "dist", "run.mjs");

export const BUILD_STEPS = [
  { name: "countersign (the SDK)", directory: "packages/sdk" },
  { name: "countersign-core", directory: "packages/core" },
  { name: "examples", directory: "examples" },
];

/**
 * @param {{ directory: string }} step
 * @returns {Promise<void>} rejects with what the tool printed
 */
export function buildStep({ directory }) {
  return new Promise((resolve, reject) => {
    const child = spawn(execPath, [tsdown], { cwd: join(root, directory), stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`building ${directory} failed:\n${output}`)),
    );
  });
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) {
  for (const step of BUILD_STEPS) {
    const began = performance.now();
    stdout.write(`building ${step.name} ... `);
    try {
      await buildStep(step);
    } catch (error) {
      stdout.write("failed\n");
      console.error(/** @type {Error} */ (error).message);
      exit(1);
    }
    stdout.write(`${((performance.now() - began) / 1000).toFixed(1)} s\n`);
  }
}
