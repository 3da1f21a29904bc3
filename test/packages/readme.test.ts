// README.md and docs/ are correct: snippets compile, the quick start and the policy commands run, every other command
// line parses, tables match the source, and links have a target.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { symlink, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { dirname, join, relative } from "node:path";
import { embedCore } from "countersign-core";
import ts from "typescript";
import { expect, onTestFinished, test } from "vitest";
import { appsCommand } from "../../packages/core/src/cli/commands/apps.ts";
import { backupCommand, restoreCommand } from "../../packages/core/src/cli/commands/backup.ts";
import { explainCommand } from "../../packages/core/src/cli/commands/explain.ts";
import { keysCommand } from "../../packages/core/src/cli/commands/keys.ts";
import { policyCommand } from "../../packages/core/src/cli/commands/policy.ts";
import { revokeCommand } from "../../packages/core/src/cli/commands/revoke.ts";
import { servicesCommand } from "../../packages/core/src/cli/commands/services.ts";
import { startCommand } from "../../packages/core/src/cli/commands/start.ts";
import { REASONS } from "../../packages/sdk/src/protocol/reasons.ts";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { Process, ROOT, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

const COMMANDS = [
  startCommand,
  appsCommand,
  keysCommand,
  revokeCommand,
  servicesCommand,
  policyCommand,
  explainCommand,
  backupCommand,
  restoreCommand,
];

const PAGES = [
  ...readdirSync(ROOT).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  "packages/sdk/README.md",
  "packages/core/README.md",
];
const textOf = (page: string) => readFileSync(join(ROOT, page), "utf8");

interface Block {
  readonly at: string;
  readonly code: string;
}

/** The code blocks of a page in one language. */
function blocksOf(page: string, language: string): Block[] {
  const text = textOf(page);
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map((match) => ({
    at: `${page}:${text.slice(0, match.index).split("\n").length + 1}`,
    code: match[1]!,
  }));
}

/** The commands of shell blocks, one a line: continued lines joined, comments removed. */
function commandsOf(page: string): Block[] {
  return blocksOf(page, "sh").flatMap(({ at, code }) =>
    code
      .replaceAll("\\\n", " ")
      .split(/\n|&&|\|(?!\|)/)
      .map((line) => ({ at, code: line.replace(/\s#.*$|^#.*$/, "").trim() }))
      .filter((line) => line.code !== ""),
  );
}

/** Names that are defined elsewhere on the page. */
const SURROUNDINGS: Record<string, string> = {
  token: "declare const token: string;",
  app: 'declare const app: import("express").Express;',
};

// Type-checks against every framework: 13 s of CPU.
test("every TypeScript snippet compiles", { timeout: 120_000 }, () => {
  const sources = new Map<string, Block>();
  for (const [i, block] of PAGES.flatMap((page) => blocksOf(page, "ts")).entries()) {
    const missing = Object.entries(SURROUNDINGS)
      .filter(([name]) => !new RegExp(`(const|let) ${name}\\b`).test(block.code))
      .map(([, declaration]) => declaration);
    // In the folder of the tests, so that packages resolve as they do for a service.
    const path = join(ROOT, "test", "packages", `snippet-${i}.ts`);
    sources.set(path, { ...block, code: [block.code, "export {};", ...missing].join("\n") });
  }
  expect(sources.size).toBeGreaterThan(20);

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
  host.readFile = (name) => sources.get(name)?.code ?? readFile(name);
  host.getSourceFile = (name, language) =>
    sources.has(name) ? ts.createSourceFile(name, sources.get(name)!.code, language) : getSourceFile(name, language);

  const program = ts.createProgram([...sources.keys()], options, host);
  const errors = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
    const at = sources.get(file?.fileName ?? "")?.at ?? file?.fileName;
    return `${at}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
  });
  expect(errors).toEqual([]);
});

test("the quick start of README.md prints the documented output", async () => {
  const folder = await temporaryDirectory();
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const core = await startCoreProcess(join(folder, "data"));
  const port = await freePort();
  const [inventory, orders] = blocksOf("README.md", "js").map(({ code }) =>
    code.replaceAll("http://localhost:3567", core.url).replaceAll("4002", port),
  );
  await writeFile(join(folder, "inventory.mjs"), inventory!);
  await writeFile(join(folder, "orders.mjs"), orders!);

  const called = new Process(["inventory.mjs"], {}, folder);
  const stock = `http://localhost:${port}/stock/anvil`;
  try {
    const rejected = await until(() => fetch(stock));
    const caller = await new Process(["orders.mjs"], {}, folder).ended;
    expect(caller).toMatchObject({ code: 0, stderr: "" });
    // The comments next to the two commands, as a reader compares them.
    expect(textOf("README.md")).toMatch(
      `node orders.mjs                            # ${caller.stdout.trim()}\n` +
        `curl http://localhost:4002/stock/anvil     # ${await rejected.text()}, status ${rejected.status}\n`,
    );
  } finally {
    await called.kill("SIGKILL");
  }
});

test.each(["README.md", "docs/policy.md"])("the policy and its commands in %s work", async (page) => {
  const folder = await temporaryDirectory();
  const dataDir = join(folder, "data");
  const core = await embedCore({ dataDir });
  onTestFinished(() => core.close());
  const [policy] = blocksOf(page, "yaml");
  await writeFile(join(folder, "policy.yaml"), policy!.code);
  const commands = commandsOf(page).filter(({ code }) => /^npx countersign (services|policy) (?!.* -$)/.test(code));
  expect(commands.length).toBeGreaterThan(3);
  for (const { at, code } of commands) {
    const line = code
      .replace("npx countersign", "")
      .replace("policy apply", "policy apply --yes") // without a terminal, the prompt cannot be confirmed
      .replace("policy.yaml", join(folder, "policy.yaml"));
    const { code: status, stderr } = await runCommand(wordsOf(line), { COUNTERSIGN_DATA_DIR: dataDir });
    expect(status, `${at}: ${code}\n${stderr}`).toBe(0);
  }
});

test("the command accepts every command line on a page", () => {
  const errors: string[] = [];
  const check = ({ at, code }: Block, parameters: string[], ignored: readonly string[] = []) => {
    const problem = problemOf(parameters);
    if (problem !== undefined && !ignored.includes(problem.code)) errors.push(`${at}: ${code}: ${problem.message}`);
  };
  for (const page of PAGES) {
    for (const command of commandsOf(page)) {
      const [, rest] = /\bcountersign ([a-z].*)$/.exec(command.code) ?? [];
      if (rest !== undefined) check(command, wordsOf(rest));
    }
    // In a sentence, arguments are often left out.
    for (const [, rest] of textOf(page).matchAll(/`(?:npx )?countersign (?!core )([a-z][^`]*)`/g)) {
      const mention = { at: page, code: `countersign ${rest}` };
      check(mention, wordsOf(rest!), [...HELP, "commander.missingArgument", "commander.missingMandatoryOptionValue"]);
    }
  }
  expect(errors).toEqual([]);
});

test("docs/verifier.md lists every reason with its status", () => {
  const rows = [...textOf("docs/verifier.md").matchAll(/^\| `([a-z_]+)` +\| (\d{3}) /gm)];
  const listed = rows.map(([, reason, status]) => [reason, Number(status)]);
  expect(listed).toEqual(Object.entries(REASONS).map(([reason, { status }]) => [reason, status]));
});

test("docs/configuration.md lists every environment variable, and no other", () => {
  const source = join(ROOT, "packages", "core", "src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const namesIn = (text: string) => text.match(/COUNTERSIGN_[A-Z_]*[A-Z]/g) ?? [];
  const read = files.flatMap((file) => namesIn(readFileSync(join(source, file), "utf8")));
  expect([...new Set(namesIn(textOf("docs/configuration.md")))].sort()).toEqual([...new Set(read)].sort());
});

test("every source path in docs/ARCHITECTURE.md exists", () => {
  const paths = [...textOf("docs/ARCHITECTURE.md").matchAll(/`((?:sdk|core)\/src\/[^`]*)`/g)].map(([, path]) => path!);
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.filter((path) => !existsSync(join(ROOT, "packages", path)))).toEqual([]);
});

test("every relative link leads to a file, and to a heading of it", () => {
  const dead = PAGES.flatMap((page) =>
    [
      ...textOf(page)
        .replaceAll(/^```[\s\S]*?^```/gm, "")
        .matchAll(/\]\((?!\w+:)([^)\s]*)\)/g),
    ]
      .map(([, link]) => link!)
      .filter((link) => {
        const [path = "", heading] = link.split("#");
        const target = path === "" ? page : relative(ROOT, join(ROOT, dirname(page), path));
        if (!existsSync(join(ROOT, target))) return true;
        return heading !== undefined && !headingsOf(target).includes(heading);
      })
      .map((link) => `${page}: ${link}`),
  );
  expect(dead).toEqual([]);
});

/** Commander throws these codes after it has shown help: `--help`, or a group without a command. */
const HELP = ["commander.help", "commander.helpDisplayed"];

/** Parses a command line without running it. @returns the error, undefined if the command accepts it */
function problemOf([name, ...parameters]: readonly string[]): { code: string; message: string } | undefined {
  const command = COMMANDS.map((create) => create(process)).find((one) => one.name() === name);
  if (command === undefined) return { code: "commander.unknownCommand", message: `unknown command ${name}` };
  const disarm = (one: typeof command): void => {
    one.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
    if (one.commands.length === 0) one.action(() => {});
    for (const child of one.commands) disarm(child);
  };
  disarm(command);
  try {
    command.parse(parameters, { from: "user" });
    return undefined;
  } catch (error) {
    return error as { code: string; message: string };
  }
}

/** A command line as a shell splits it; variables stay as they are. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, double, single, bare]) => double ?? single ?? bare!);
}

/** The anchors of a page's headings, as GitHub makes them. */
function headingsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

async function until<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
