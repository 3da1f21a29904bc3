#!/usr/bin/env node
import { existsSync } from "node:fs";

// A checkout has no build yet; the published package always has one.
const main = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(main)) {
  const { run } = await import(main.href);
  await run(process.argv.slice(2));
} else {
  process.stderr.write("countersign: not built yet; run 'npm run build' first\n");
  process.exitCode = 1;
}
