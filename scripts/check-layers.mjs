// Checks the structure of the source, which the compiler cannot see: imports point down the list of layers, neither files
// nor folders import in a circle, no folder collects leftovers, and tests mirror the source. Prints every violation and
// exits with status 1 if there is one. docs/ARCHITECTURE.md explains the rules.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/**
 * Per package, its layers from the bottom up, as folders of `src`; "." is `src` itself. A folder can import from its own
 * layer and from the layers below.
 * @type {Record<string, [string, string[]][]>}
 */
const LAYERS = {
  "packages/sdk": [
    ["protocol", ["protocol"]],
    ["ground", ["config", "crypto", "runtime", "telemetry"]],
    ["documents", ["core-client", "jwks", "revocation"]],
    ["recipe and verifier", ["recipe", "verify", "service-token"]],
    ["instance", ["instance"]],
    ["entry points", ["."]],
    ["middleware", ["middleware"]],
    ["framework", ["framework"]],
    ["test kit", ["testing"]],
  ],
  "packages/core": [
    "domain",
    "ports",
    "crypto",
    "state",
    "use-cases",
    "adapters",
    "config",
    "http",
    "composition",
    ".",
    "cli",
  ].map((ring) => [ring, [ring]]),
};
const LEFTOVERS = /(^|\/)(utils?|helpers?|common|misc|shared)(\/|\.)/;
/** Test folders that mirror no source folder. */
const UNMIRRORED = ["support", "faults", "timing"];

/** @type {string[]} */
const violations = [];
for (const [home, layers] of Object.entries(LAYERS)) {
  checkSource(`${home}/src`, layers);
  checkTests(home);
}
checkFrameworks("packages/sdk/src/framework");
for (const violation of violations) console.error(violation);
if (violations.length > 0) process.exit(1);
console.log("layers: imports point down, no circles, tests mirror the source");

/** @param {string} source @param {[string, string[]][]} layers */
function checkSource(source, layers) {
  /** @param {string} file */
  const layerOf = (file) => layers.findIndex(([, folders]) => folders.includes(file.split("/").slice(0, -1)[0] ?? "."));
  /** @param {string} file */
  const describe = (file) => `${source}/${file} (${layers[layerOf(file)]?.[0] ?? "no layer"})`;
  /** @type {Map<string, string[]>} */
  const files = new Map();
  /** @type {Map<string, string[]>} */
  const folders = new Map();

  for (const file of typescriptIn(source)) {
    if (layerOf(file) === -1) violations.push(`${source}/${file}: its folder is in no layer; add it to LAYERS`);
    if (LEFTOVERS.test(file)) violations.push(`${source}/${file}: name the folder for its subject`);
    const imports = importsOf(join(root, source, file)).map(({ specifier, typeOnly }) => ({
      target: posix.join(posix.dirname(file), specifier),
      typeOnly,
    }));
    files.set(
      file,
      imports.filter(({ typeOnly }) => !typeOnly).map(({ target }) => target),
    );
    for (const { target } of imports) {
      if (layerOf(target) > layerOf(file)) violations.push(`${describe(file)} imports upward from ${describe(target)}`);
      const [from, to] = [posix.dirname(file), posix.dirname(target)];
      if (from === "." || to === "." || from === to) continue;
      folders.set(from, [...new Set([...(folders.get(from) ?? []), to])]);
    }
  }
  for (const cycle of cyclesIn(files)) violations.push(`${source}: files import in a circle: ${cycle.join(" -> ")}`);
  for (const cycle of cyclesIn(folders)) {
    violations.push(`${source}: folders import in a circle: ${cycle.join(" -> ")}`);
  }
}

/** Every file of this folder becomes a subpath of the package, so it must be an adapter. @param {string} folder */
function checkFrameworks(folder) {
  for (const file of typescriptIn(folder)) {
    const isAdapter = /^export function verifyMicroservice\b/m.test(readFileSync(join(root, folder, file), "utf8"));
    if (file.includes("/") || !isAdapter) {
      violations.push(`${folder}/${file}: only adapters of frameworks belong here; shared parts belong in middleware/`);
    }
  }
}

/** A test folder has the path of a source folder, or of a source file without its extension. @param {string} home */
function checkTests(home) {
  const folders = new Set(typescriptIn(`${home}/test`).map((file) => posix.dirname(file)));
  for (const folder of folders) {
    if (folder === "." || UNMIRRORED.includes(folder.split("/")[0] ?? "")) continue;
    const source = join(root, home, "src", folder);
    if (!existsSync(source) && !existsSync(`${source}.ts`)) {
      violations.push(`${home}/test/${folder}: mirrors neither a folder nor a file of ${home}/src`);
    }
  }
}

/** @param {string} folder @returns {string[]} paths below the folder, with slashes */
function typescriptIn(folder) {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(join(root, folder), join(entry.parentPath, entry.name)).split(sep).join("/"));
}

/** @param {string} file @returns {{ specifier: string, typeOnly: boolean }[]} the relative imports of a file */
function importsOf(file) {
  const statements = readFileSync(file, "utf8").matchAll(
    /^(?:import|export)\s+(type\s)?(?:[^;]*?\sfrom\s+)?"(\.[^"]+)";/gm,
  );
  return [...statements].map(([, type, specifier]) => ({ specifier: specifier ?? "", typeOnly: type !== undefined }));
}

/** @param {Map<string, string[]>} graph @returns {string[][]} */
function cyclesIn(graph) {
  /** @type {string[][]} */
  const cycles = [];
  /** @type {Set<string>} */
  const done = new Set();
  /** @param {string} node @param {string[]} path */
  const visit = (node, path) => {
    const start = path.indexOf(node);
    if (start !== -1) {
      cycles.push([...path.slice(start), node]);
      return;
    }
    if (done.has(node)) return;
    for (const next of graph.get(node) ?? []) visit(next, [...path, node]);
    done.add(node);
  };
  for (const node of graph.keys()) visit(node, []);
  return cycles;
}
