// Everything that can be checked without running the code: `npm run check`. Runs all of it and says what failed.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

const CHECKS = [
  ["format", "prettier", "--check", "."],
  ["lint", "oxlint", "--type-aware", "--deny-warnings"],
  ...["packages/sdk", "packages/core", "examples", "scripts", "test", "bench"].map((folder) => [
    `types of ${folder}`,
    "tsc",
    "-p",
    folder,
  ]),
  // Without the types of Node, the compiler refuses I/O and clocks where they do not belong.
  ["purity of the protocol", "tsc", "-p", "packages/sdk/tsconfig.pure.json"],
  ["purity of the domain", "tsc", "-p", "packages/core/tsconfig.pure.json"],
  ["layers", "node", "scripts/check-layers.mjs"],
  ["package countersign", "publint", "--strict", "packages/sdk"],
  ["package countersign-core", "publint", "--strict", "packages/core"],
  ["types of countersign, as installed", "attw", "--pack", "packages/sdk"],
  ["types of countersign-core, as installed", "attw", "--pack", "packages/core", "--profile", "esm-only"],
  ["unused code and dependencies", "knip"],
];

const failed = [];
for (const [name = "", command = "", ...parameters] of CHECKS) {
  const began = performance.now();
  const { status, stdout, stderr, error } = spawnSync(command, parameters, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, PATH: `${join(root, "node_modules", ".bin")}:${process.env["PATH"]}` },
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (status === 0) continue;
  failed.push(name);
  console.log(`${error?.message ?? ""}${stdout}${stderr}`);
}
if (failed.length > 0) {
  console.log(`${failed.length} of ${CHECKS.length} checks failed: ${failed.join(", ")}`);
  process.exit(1);
}
