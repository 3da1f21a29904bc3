// Layers import downward only, nothing imports in a circle, and no folder is a drawer: what the
// compiler cannot see of the house's plan. Prints every breach; exit code 1 if there is one.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/**
 * Per package, its layers from the ground up; a file belongs to the first whose pattern it matches, and may import
 * its own layer and those below.
 * @type {Record<string, [string, RegExp][]>}
 */
const LAYERS = {
  "packages/sdk/src": [
    ["protocol", /^protocol\//],
    [
      "crypto and transport",
      /^(signature|bounded-fetch|clock|events|app-info|embedded-core|kept-documents|core-client|verifier-options|polled-document|key-set|token-cache)\.ts$/,
    ],
    [
      "recipe and verifier",
      /^(recipe\/jwt-implementation|revocation-feed|published|verifier|front|retry-pause|service-tokens?|service-fetch)\.ts$/,
    ],
    ["instance", /^(countersign|default-instance|explain)\.ts$/],
    ["entry points", /^(guard|index|define-policy|service-client|recipe\/jwt)\.ts$/],
    ["framework", /^(framework|testing)\//],
  ],
  "packages/core/src": [
    ["domain", /^domain\//],
    ["ports", /^ports\//],
    ["use-cases", /^use-cases\//],
    ["adapters", /^(adapters\/|startup-error\.ts$)/],
    ["config", /^config\.ts$/],
    ["http", /^http\//],
    ["composition root", /^(open-core|index|maintenance)\.ts$/],
    ["cli", /^cli\//],
  ],
};
const DRAWERS = /(^|\/)(utils?|helpers?|common|misc|shared)(\/|\.)/;

/** @type {string[]} */
const breaches = [];

for (const [home, layers] of Object.entries(LAYERS)) {
  const base = join(root, home);
  const files = readdirSync(base, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(base, join(entry.parentPath, entry.name)).split(sep).join("/"));
  /** @param {string} file */
  const layerOf = (file) => layers.findIndex(([, pattern]) => pattern.test(file));

  /** @type {Map<string, string[]>} */
  const imports = new Map();
  for (const file of files) {
    if (layerOf(file) === -1) breaches.push(`${home}/${file} is in no layer: add it to the plan`);
    if (DRAWERS.test(file)) breaches.push(`${home}/${file}: code lives in the room it is about`);
    const targets = importsOf(readFileSync(join(base, file), "utf8"));
    /** @type {string[]} */
    const values = [];
    for (const { specifier, typeOnly } of targets) {
      if (!specifier.startsWith(".")) continue;
      const target = relative(base, resolve(base, dirname(file), specifier))
        .split(sep)
        .join("/");
      if (!typeOnly) values.push(target);
      if (layerOf(target) > layerOf(file)) {
        breaches.push(
          `${home}/${file} (${layers[layerOf(file)]?.[0]}) imports upward: ${target} (${layers[layerOf(target)]?.[0]})`,
        );
      }
    }
    imports.set(file, values);
  }
  breaches.push(...cyclesIn(imports).map((cycle) => `${home}: a circle of imports: ${cycle.join(" -> ")}`));
}

for (const breach of breaches) console.error(breach);
if (breaches.length > 0) process.exit(1);
console.log("layers: every import points downward, no circles");

/**
 * @param {string} source
 * @returns {{ specifier: string, typeOnly: boolean }[]}
 */
function importsOf(source) {
  const statements = source.matchAll(/^(import|export)\s+(type\s)?([^;]*?\sfrom\s+)?"([^"]+)";/gm);
  return [...statements].map(([, , type, , specifier]) => ({
    specifier: specifier ?? "",
    typeOnly: type !== undefined,
  }));
}

/**
 * @param {Map<string, string[]>} graph
 * @returns {string[][]}
 */
function cyclesIn(graph) {
  /** @type {string[][]} */
  const cycles = [];
  /** @type {Set<string>} */
  const done = new Set();
  /** @param {string} file @param {string[]} path */
  const visit = (file, path) => {
    const start = path.indexOf(file);
    if (start !== -1) {
      cycles.push([...path.slice(start), file]);
      return;
    }
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return cycles;
}
