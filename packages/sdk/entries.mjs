import { readdirSync } from "node:fs";

const frameworks = readdirSync(new URL("src/framework/", import.meta.url))
  .map((file) => file.replace(/\.ts$/, ""))
  .sort();

/**
 * The source file of each subpath of the package; `index` is the package itself. The build reads this list, and
 * scripts/generate-exports.mjs writes `exports` and `typesVersions` from it.
 * @type {Readonly<Record<string, string>>}
 */
export const ENTRIES = {
  index: "src/index.ts",
  "recipe/jwt": "src/recipe-jwt.ts",
  ...Object.fromEntries(frameworks.map((name) => [`framework/${name}`, `src/framework/${name}.ts`])),
  testing: "src/testing/index.ts",
  protocol: "src/protocol/index.ts",
};
