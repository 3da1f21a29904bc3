import { once } from "node:events";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { createProgram, run } from "../../src/cli/main.ts";
import { VERSION } from "../../src/index.ts";
import { runCommand, TestProcess } from "../support/cli.ts";
import { tempDir } from "../support/temp-dir.ts";

it("prints the version", async () => {
  expect(await runCommand(["--version"])).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: "" });
});

it("prints help on stdout", async () => {
  const { code, stdout, stderr } = await runCommand(["keys", "--help"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/^Usage: countersign keys/);
});

it.each([
  [["nonsense"], "error: unknown command 'nonsense'"],
  [["keys", "rotate", "--nonsense"], "error: unknown option '--nonsense'"],
  [["keys", "import", "key.pem"], "error: required option '--kid <kid>' not specified"],
  [["revoke", "service"], "error: missing required argument 'name'"],
])("rejects %j with exit code 1 and points to the help", async (args, message) => {
  const { code, stdout, stderr } = await runCommand(args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(new RegExp(`^${message}`));
  expect(stderr).toMatch(/\nRun with --help for usage\.\n$/);
});

it("starts a core, announces it on stdout, and closes it on SIGTERM", async () => {
  const cli = new TestProcess();
  await run(["start", "--port", "0", "--data-dir", await tempDir()], cli);
  const [, url] = /^countersign core listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(cli.stdout.text) ?? [];
  expect((await fetch(`${url}/hello`)).status).toBe(200);
  const exited = once(cli, "exit");
  cli.emit("SIGTERM", "SIGTERM");
  await exited;
  expect(cli.exitCode).toBe(0);
  await expect(fetch(`${url}/hello`)).rejects.toThrow("fetch failed");
});

it("names the flag or the variable of an invalid setting", async () => {
  const { code, stdout, stderr } = await runCommand(["start", "--port", "70000", "--api-key", "secret"], {
    COUNTERSIGN_DATABASE: "mysql://core:hunter2@db/keys",
  });
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.split("\n")).toEqual([
    'countersign: --port: expected a number from 0 to 65535, got "70000"',
    expect.stringMatching(/^countersign: COUNTERSIGN_DATABASE: expected postgres:\/\/USER:PASSWORD@HOST/),
    "countersign: --api-key: must have at least 20 characters from A-Z a-z 0-9 = _ -",
    expect.stringMatching(/^countersign: COUNTERSIGN_DATABASE: PostgreSQL requires a master key; /),
    "",
  ]);
});

it("runs commands at the same time without mixing up their output", async () => {
  const dataDir = await tempDir();
  const cli = new TestProcess();
  await run(["start", "--port", "0", "--data-dir", dataDir], cli);
  const [listed, missing] = await Promise.all([
    runCommand(["apps", "list", "--data-dir", dataDir]),
    runCommand(["keys", "list", "--app", "ghost", "--data-dir", dataDir]),
  ]);
  expect(listed).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^app +algorithms\npublic /) });
  expect(missing).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/app not found/) });
  const exited = once(cli, "exit");
  cli.emit("SIGTERM", "SIGTERM");
  await exited;
});

describe("help pages", () => {
  const pagesOf = (command: Command, path: string[] = []): string[][] => [
    path,
    ...command.commands.flatMap((child) => pagesOf(child, [...path, child.name()])),
  ];
  const pages = pagesOf(createProgram(new TestProcess()));

  it("exist for every command", () => {
    expect(pages.length).toBeGreaterThan(35);
  });

  it.each(pages.map((path) => ({ path, name: ["countersign", ...path].join(" ") })))("$name", async ({ path }) => {
    const { code, stdout, stderr } = await runCommand([...path, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.split("\n").filter((line) => line.length > 100)).toEqual([]);
    const [, examples = ""] = stdout.split("\nExamples:\n");
    const commands = examples
      .split("\n\n")[0]!
      .replaceAll(/ \\\n +/g, " ")
      .trim()
      .split("\n");
    expect(commands.length).toBeGreaterThanOrEqual(2);
    for (const command of commands) expect(await errorOf(command)).toBeUndefined();
  });
});

/** Parses an example without running it. @returns the error, undefined if the command line is valid */
async function errorOf(example: string): Promise<string | undefined> {
  const [, line = ""] = /(?:^|[ |])countersign (.*)$/.exec(example) ?? [];
  const args = [...line.matchAll(/'([^']*)'|"([^"]*)"|<.*|(\S+)/g)].map(([, ...parts]) => parts.find(Boolean) ?? "");
  const cli = new TestProcess();
  const program = createProgram(cli);
  const disarm = (command: Command): void => {
    if (command.commands.length === 0) command.action(() => {});
    command.commands.forEach(disarm);
  };
  disarm(program);
  try {
    await program.parseAsync(args.filter(Boolean), { from: "user" });
    return undefined;
  } catch (error) {
    return `${example}: ${(error as Error).message}`;
  }
}
