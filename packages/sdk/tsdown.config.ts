import { defineConfig } from "tsdown";
import { ENTRIES } from "./entries.mjs";

export default defineConfig({
  entry: ENTRIES,
  format: ["esm", "cjs"],
  platform: "node",
  target: "node20.19",
  dts: true,
  deps: { skipNodeModulesBundle: true }, // apps that use a framework have its types
  // Both `require("countersign").init` and `import countersign from "countersign"` work.
  outputOptions: {
    exports: "named",
    codeSplitting: {
      groups: [
        { name: "countersign", test: /\/sdk\/src\/(?!framework\/|middleware\/|testing\/|recipe-jwt).*(?<!\.d)\.ts$/ },
      ],
    },
  },
  logLevel: "warn",
});
