import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig, type TestProjectInlineConfiguration } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`./packages/${path}`, import.meta.url));

/** Resolves the packages to their source, so that a test sees a change in another package without a build. */
const alias = [
  { find: /^countersign$/, replacement: source("sdk/src/index.ts") },
  { find: /^countersign\/recipe\/jwt$/, replacement: source("sdk/src/recipe-jwt.ts") },
  { find: /^countersign\/framework\/(\w+)$/, replacement: source("sdk/src/framework/$1.ts") },
  { find: /^countersign\/(protocol|testing)$/, replacement: source("sdk/src/$1/index.ts") },
  { find: /^countersign-core$/, replacement: source("core/src/index.ts") },
];

/** These use `rounds()` and run in both: with few rounds in `npm test`, with many in `npm run test:long`. */
const SCALED = [
  "packages/core/test/domain/keys/key-history.test.ts",
  "packages/core/test/use-cases/keys/rotation-race.test.ts",
  "packages/sdk/test/verify/verifier/differential.test.ts",
];

/**
 * A file named `*.test.ts` belongs to `npm test`: its result does not depend on the speed of the machine.
 * A file named `*.long.test.ts` takes long or measures time, and belongs to `npm run test:long` (`--mode long`). Its
 * files run one at a time. `--mode long-short` runs the same files with fewer rounds.
 */
export default defineConfig(({ mode }) => {
  const isLong = mode.startsWith("long");
  const files = isLong ? "*.long.test.ts" : "!(*.long).test.ts";
  const common = {
    env: {
      COUNTERSIGN_TEST_ROUNDS:
        process.env["COUNTERSIGN_TEST_ROUNDS"] ?? { long: "full", "long-short": "short" }[mode] ?? "quick",
      NO_COLOR: "1", // commands that run inside a test process print plain text
    },
    execArgv: ["--expose-gc"], // for the tests that measure memory
    // Ends tests that hang. Far above what any test takes, so that a busy machine does not fail one.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: !isLong,
    maxWorkers: availableParallelism() + 1, // files often wait for a process, a database or a timer
    setupFiles: isLong ? [] : ["test/support/rsa-key-pool.ts"],
  };
  const projects: TestProjectInlineConfiguration[] = [
    {
      resolve: { alias },
      test: {
        ...common,
        name: "packages",
        include: [`packages/*/test/**/${files}`, `test/cli/**/${files}`, ...(isLong ? SCALED : [])],
      },
    },
    // These start processes and use the packages as they are published, so they run on the build.
    { test: { ...common, name: "product", include: [`test/!(cli)/**/${files}`] } },
  ];
  return { test: { projects, globalSetup: "test/support/global-setup.ts" } };
});
