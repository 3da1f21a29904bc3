import { once } from "node:events";
import { expect, it } from "vitest";
import { run } from "../../src/cli/main.ts";
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
  expect(stderr).toMatch(new RegExp(`^${message}\n`));
  expect(stderr).toContain("--help");
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

it("runs commands at the same time without mixing up their output", async () => {
  const dataDir = await tempDir();
  const cli = new TestProcess();
  await run(["start", "--port", "0", "--data-dir", dataDir], cli);
  const [listed, missing] = await Promise.all([
    runCommand(["apps", "list", "--data-dir", dataDir]),
    runCommand(["keys", "list", "--app", "ghost", "--data-dir", dataDir]),
  ]);
  expect(listed).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^app +algorithms\npublic /) });
  expect(missing).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/no such app/) });
  const exited = once(cli, "exit");
  cli.emit("SIGTERM", "SIGTERM");
  await exited;
});
