// Runs a benchmark by name: `npm run bench -- NAME`. Every figure we publish comes from one of them.
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const files = readdirSync(here, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".bench.mjs"));
const benches = new Map(files.map((file) => [basename(file, ".bench.mjs"), file]));

const [name = "--help"] = process.argv.slice(2);
const file = benches.get(name);
if (file === undefined) {
  console.log(
    `usage: npm run bench -- NAME\n\n${[...benches.keys()]
      .sort()
      .map((one) => `  ${one}`)
      .join("\n")}`,
  );
  process.exit(name === "--help" ? 0 : 2);
}
console.log(`node ${process.version}, ${process.platform} ${process.arch}\n`);
await import(`./${file}`);
