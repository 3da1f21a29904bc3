// What the READMEs show compiles, against the packages as they are built.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { ROOT } from "../support/processes.ts";

/** What a reader has around an excerpt. */
const SURROUNDINGS: Record<string, string> = {
  token: "declare const token: string;",
  app: 'declare const app: import("express").Express;',
};

test.each(["README.md", "packages/sdk/README.md", "packages/core/README.md"])(
  "the examples of %s compile",
  { timeout: 60_000 }, // the types of every framework
  (readme) => {
    const blocks = [...readFileSync(join(ROOT, readme), "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(
      (match) => match[1]!,
    );
    expect(blocks.length).toBeGreaterThan(0);

    const sources = new Map<string, string>();
    for (const [i, block] of blocks.entries()) {
      const missing = Object.entries(SURROUNDINGS).filter(
        ([name]) => !new RegExp(`(const|let) ${name}\\b`).test(block),
      );
      // In the folder of the tests, so that packages are found as a service finds them.
      sources.set(
        join(ROOT, "test", `readme-${i}.ts`),
        `${block}\nexport {};\n${missing.map(([, code]) => code).join("\n")}\n`,
      );
    }
    const options: ts.CompilerOptions = {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      strict: true,
      exactOptionalPropertyTypes: true,
      experimentalDecorators: true,
      noEmit: true,
      skipLibCheck: true,
      types: ["node"],
    };
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists, readFile } = host;
    host.fileExists = (name) => sources.has(name) || fileExists(name);
    host.readFile = (name) => sources.get(name) ?? readFile(name);
    host.getSourceFile = (name, language) =>
      sources.has(name) ? ts.createSourceFile(name, sources.get(name)!, language) : getSourceFile(name, language);

    const program = ts.createProgram([...sources.keys()], options, host);
    const problems = ts
      .getPreEmitDiagnostics(program)
      .map((one) => ts.flattenDiagnosticMessageText(one.messageText, "\n"));
    expect(problems).toEqual([]);
  },
);
