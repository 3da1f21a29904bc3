// Every entry of the SDK, from ESM and from CommonJS: the same names, and only the NestJS entry loads its framework.
import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { Process } from "../support/processes.ts";

const { exports: entries } = createRequire(import.meta.url)("countersign/package.json") as { exports: object };

test("every entry loads from ESM and from CommonJS, without its framework", async () => {
  const { stdout, stderr } = await new Process(["test/support/entries.cjs"]).ended;
  expect(stderr).toBe("");
  const required = JSON.parse(stdout) as Record<string, { names: string[]; foreign: boolean }>;
  expect(Object.keys(required)).toEqual(Object.keys(entries).filter((name) => !name.endsWith(".json")));
  for (const [entry, { names, foreign }] of Object.entries(required)) {
    const imported = (await import(entry.replace(".", "countersign"))) as object;
    expect(names.toSorted(), entry).toEqual(Object.keys(imported).toSorted());
    expect(foreign, entry).toBe(entry === "./framework/nest"); // decorators need NestJS
    if (entry.startsWith("./framework/")) {
      const handlesErrors = entry !== "./framework/node"; // node:http has no error handlers
      expect(names, entry).toEqual(expect.arrayContaining(["middleware", "verifyMicroservice"]));
      expect(names.includes("errorHandler"), entry).toBe(handlesErrors);
    }
  }
});
