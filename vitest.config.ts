import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`./packages/${path}`, import.meta.url));

/** The packages by name, from their source: a test sees a change in another package without a build. */
const alias = [
  { find: /^countersign$/, replacement: source("sdk/src/index.ts") },
  { find: /^countersign\/recipe\/jwt$/, replacement: source("sdk/src/recipe-jwt.ts") },
  { find: /^countersign\/framework\/(\w+)$/, replacement: source("sdk/src/framework/$1.ts") },
  { find: /^countersign\/(protocol|testing)$/, replacement: source("sdk/src/$1/index.ts") },
  { find: /^countersign-core$/, replacement: source("core/src/index.ts") },
];

export default defineConfig({
  test: {
    // For the tests that measure memory.
    execArgv: ["--expose-gc"],
    testTimeout: 20_000,
    hookTimeout: 30_000,
    projects: [
      {
        extends: true,
        resolve: { alias },
        test: { name: "packages", include: ["packages/*/test/**/*.test.ts"] },
      },
      // These start processes and use packages as they are installed, so they run on the build.
      { extends: true, test: { name: "product", include: ["test/**/*.test.ts"] } },
    ],
  },
});
