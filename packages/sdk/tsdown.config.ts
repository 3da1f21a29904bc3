import { defineConfig } from "tsdown";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    "recipe/jwt": "src/recipe/jwt.ts",
    "framework/express": "src/framework/express.ts",
    testing: "src/testing/index.ts",
    protocol: "src/protocol/index.ts",
  },
  format: ["esm", "cjs"],
  platform: "node",
  target: "node20.19",
  dts: true,
  // `require("countersign").init` and `import countersign from "countersign"` both work.
  outputOptions: { exports: "named" },
  logLevel: "warn",
});
