// Backup and restore with PostgreSQL.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { itOnPostgres, sharedPostgres } from "../../packages/core/test/support/postgres.ts";
import { admin, environmentOn, keysOf, mint, rejectionsOf } from "../support/core-client.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

itOnPostgres("R15 backup and restore from one PostgreSQL database to another, with no core running", async () => {
  const server = await sharedPostgres();
  const [from, to] = [environmentOn(await server.newDatabase()), await server.newDatabase()];
  const core = await startCore(await temporaryDirectory(), [], from);
  await vi.waitFor(async () => expect(await keysOf(core.url)).toHaveLength(6), { timeout: 10_000 });
  const tokens = [await mint(core.url, true), await mint(core.url, false)];
  await admin(core.url, "POST", "/apps/public/revocations/services", { service: "intruder" });
  const before = await admin<{ generation: number }>(core.url, "GET", "/status");
  await core.stop();

  const file = join(await temporaryDirectory(), "backup.json");
  const run = (env: NodeJS.ProcessEnv, ...flags: string[]) => runCommand(flags, env);
  const written = await run(from, "backup", file);
  expect([written.code, written.stdout]).toEqual([0, expect.stringMatching(/^wrote 6 keys of 1 app to /)]);
  expect(await readFile(file, "utf8")).not.toContain(from["COUNTERSIGN_MASTER_KEY"]);

  const wrong = await run(environmentOn(to), "restore", file);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/encrypted with master key [0-9a-f]{16}/)]);
  const destination = { ...from, COUNTERSIGN_DATABASE: to };
  const restored = await run(destination, "restore", file);
  expect([restored.code, restored.stderr]).toEqual([0, expect.stringMatching(/store restored from backup/)]);
  const { host, pathname } = new URL(to);
  expect(restored.stdout).toContain(` to ${host}${pathname}, generation `);
  const again = await run(destination, "restore", file);
  expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/store is not empty \(1 app\).*--force/)]);

  expect((await run(destination, "keys", "list")).code).toBe(0);
  const second = await startCore(await temporaryDirectory(), [], destination);
  const prepared = async () => (await keysOf(second.url)).filter((key) => key.state === "prepared");
  await vi.waitFor(async () => expect(await prepared()).toHaveLength(4), { timeout: 5_000 });
  expect(await rejectionsOf(second.url, tokens)).toEqual([]);
  expect((await admin<{ generation: number }>(second.url, "GET", "/status")).generation).toBeGreaterThan(
    before.generation,
  );
  const feed = await admin<{ services: unknown[] }>(second.url, "GET", "/apps/public/revocations");
  expect(feed.services).toEqual([["intruder", expect.any(Number)]]);
});
