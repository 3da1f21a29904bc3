// Writes `exports` and `typesVersions` of packages/sdk/package.json from the list of entries. With --check, it changes
// nothing and exits with status 1 if they differ.
import { readFileSync, writeFileSync } from "node:fs";
import { argv, exit } from "node:process";
import { ENTRIES } from "../packages/sdk/entries.mjs";

const file = new URL("../packages/sdk/package.json", import.meta.url);
const current = readFileSync(file, "utf8");
const generated = `${JSON.stringify({ ...JSON.parse(current), ...exportsOf(Object.keys(ENTRIES)) }, null, 2)}\n`;

if (!argv.includes("--check")) writeFileSync(file, generated);
else if (generated !== current) {
  console.error(
    "packages/sdk/package.json differs from packages/sdk/entries.mjs; run 'node scripts/generate-exports.mjs'",
  );
  exit(1);
}

/** @param {string[]} names */
function exportsOf(names) {
  /** @param {string} name @param {"m" | "c"} kind of module */
  const target = (name, kind) => ({ types: `./dist/${name}.d.${kind}ts`, default: `./dist/${name}.${kind}js` });
  const subpaths = names.map((name) => [
    name === "index" ? "." : `./${name}`,
    { import: target(name, "m"), require: target(name, "c") },
  ]);
  // For `moduleResolution: node10`, which does not read `exports`. It finds the package itself by `types`.
  const types = names.filter((name) => name !== "index").map((name) => [name, [`./dist/${name}.d.cts`]]);
  return {
    exports: { ...Object.fromEntries(subpaths), "./package.json": "./package.json" },
    typesVersions: { "*": Object.fromEntries(types) },
  };
}
