import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // For the tests that measure memory.
    execArgv: ["--expose-gc"],
    // Real processes and real time on a machine that others use too: what fails there twice has failed.
    retry: process.env["CI"] === undefined ? 0 : 1,
    testTimeout: 20_000,
    hookTimeout: 30_000,
  },
});
