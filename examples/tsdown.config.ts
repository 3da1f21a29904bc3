import { defineConfig } from "tsdown";

export default defineConfig(
  ["orders", "inventory"].map((service) => ({
    entry: `${service}/src/main.ts`,
    outDir: `${service}/dist`,
    format: "esm" as const,
    platform: "node" as const,
    target: "node20.19",
    dts: false,
    deps: { skipNodeModulesBundle: true },
  })),
);
