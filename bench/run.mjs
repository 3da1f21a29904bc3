// Every figure we quote has its command here: `npm run bench -- NAME`.
import { readdirSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const names = readdirSync(here)
  .filter((file) => file.endsWith(".bench.mjs"))
  .map((file) => file.replace(/\.bench\.mjs$/, ""));

const [name] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  console.log(`usage: npm run bench -- NAME\n\n${names.map((one) => `  ${one}`).join("\n")}`);
  process.exit(name === undefined || name === "--help" ? 0 : 2);
}
console.log(`node ${process.version}, ${process.platform} ${process.arch}\n`);
await import(`./${name}.bench.mjs`);
