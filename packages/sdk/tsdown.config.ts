import { defineConfig } from "tsdown";

const FRAMEWORKS = ["express", "fastify", "hapi", "hono", "koa", "lambda", "nest", "node", "web"];

export default defineConfig({
  entry: {
    index: "src/index.ts",
    "recipe/jwt": "src/recipe-jwt.ts",
    ...Object.fromEntries(FRAMEWORKS.map((name) => [`framework/${name}`, `src/framework/${name}.ts`])),
    testing: "src/testing/index.ts",
    protocol: "src/protocol/index.ts",
  },
  format: ["esm", "cjs"],
  platform: "node",
  target: "node20.19",
  dts: true,
  deps: { skipNodeModulesBundle: true }, // whoever has a framework has its types
  // `require("countersign").init` and `import countersign from "countersign"` both work.
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
