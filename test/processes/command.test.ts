// The command in its own process. The files in test/cli run it inside the test process.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { COUNTERSIGN_BIN, Process, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

const ADMIN_KEY = "admin-key-of-the-tests-01";

test("a policy is applied from a pipe, and shown by another process", async () => {
  const dataDir = await temporaryDirectory();
  await startCoreProcess(dataDir);
  const place = ["--data-dir", dataDir];
  const policy = "services: {}\n";
  const apply = spawn(process.execPath, [COUNTERSIGN_BIN, "policy", "apply", "-", "--yes", ...place]);
  const closed = once(apply, "close");
  apply.stdin.end(policy);
  expect(await closed).toEqual([0, null]);
  const shown = await new Process([COUNTERSIGN_BIN, "policy", "show", ...place]).ended;
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining(policy), stderr: "" });
});

test("a backup that does not fit on the disk leaves nothing behind and keeps the old file", async () => {
  const file = join(await temporaryDirectory(), "backup.json");
  const core = await startCoreProcess(await temporaryDirectory(), [], { COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY });
  const env = { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY };
  const backup = ["backup", file, "--url", core.url];
  expect((await new Process([COUNTERSIGN_BIN, ...backup], env).ended).code).toBe(0);
  const before = await readFile(file, "utf8");

  // As on a full disk, no file can grow beyond one block.
  const script = `ulimit -f 1; exec "$0" "$@"`;
  const again = spawn("sh", ["-c", script, process.execPath, COUNTERSIGN_BIN, ...backup, "--force"], {
    env: { ...process.env, ...env },
  });
  const [stderr, [code]] = await Promise.all([text(again.stderr), once(again, "close")]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^countersign: cannot write .*backup\.json: .*too large/)]);
  expect(await readdir(join(file, ".."))).toEqual(["backup.json"]);
  expect(await readFile(file, "utf8")).toBe(before);
});
