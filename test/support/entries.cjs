// Requires every entry of the SDK as a service would, and prints what each exports and loads from elsewhere.
const { exports: entries } = require("countersign/package.json");
const { join } = require("node:path");

const own = join(__dirname, "..", "..", "packages", "sdk");
/** @type {Record<string, { names: string[], foreign: boolean }>} */
const seen = {};
for (const entry of Object.keys(entries).filter((name) => !name.endsWith(".json"))) {
  const before = new Set(Object.keys(require.cache));
  const names = Object.keys(require(join("countersign", entry)));
  const loaded = Object.keys(require.cache).filter((file) => !before.has(file));
  seen[entry] = { names, foreign: loaded.some((file) => !file.startsWith(own)) };
}
console.log(JSON.stringify(seen));
