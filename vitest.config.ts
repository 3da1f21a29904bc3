import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // For the tests that measure memory.
    execArgv: ["--expose-gc"],
    testTimeout: 20_000,
    hookTimeout: 30_000,
  },
});
