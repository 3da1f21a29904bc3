import { defineConfig, type UserConfig } from "tsdown";

const service: UserConfig = {
  format: "esm",
  platform: "node",
  target: "node20.19",
  dts: false,
  deps: { skipNodeModulesBundle: true, neverBundle: /^countersign/ },
};

export default defineConfig([
  ...["orders", "inventory"].map((name) => ({ ...service, entry: `${name}/src/main.ts`, outDir: `${name}/dist` })),
  // One file for each framework, but for Next.js, which builds its own.
  { ...service, entry: ["frameworks/*.ts", "!frameworks/inventory.ts"], outDir: "frameworks/dist" },
]);
