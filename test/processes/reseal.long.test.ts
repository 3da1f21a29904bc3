// Changes the master key while a core issues tokens, and kills the command at any moment.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { masterKeyIdOf } from "../../packages/core/src/adapters/vault/envelope-vault.ts";
import { rejectionsOf } from "../support/core-client.ts";
import { COUNTERSIGN_BIN, Process, startCoreProcess, temporaryDirectory } from "../support/processes.ts";
import { ENV, issueTokens, masterKeysIn, signWithES256 } from "../support/resealing.ts";

const RESEAL = ["keys", "reseal", "--new-master-key", "--yes", "--data-dir"];

const idOf = (line: string) => masterKeyIdOf(Buffer.from(line, "base64url"));

describe("S8 countersign keys reseal", () => {
  test("S8 --new-master-key while a core issues tokens and creates keys: no token fails, and the new key decrypts everything", async () => {
    const dataDir = await temporaryDirectory();
    const core = await startCoreProcess(dataDir, [], ENV);
    await signWithES256(core.url);
    const issuing = issueTokens(core.url);
    const file = join(dataDir, "master.key");
    const seen = new Set([await readFile(file, "utf8")]);
    for (let round = 0; round < 4; round++) {
      const { code, stdout, stderr } = await new Process([COUNTERSIGN_BIN, ...RESEAL, dataDir], ENV).ended;
      expect([code, stderr]).toEqual([0, expect.stringMatching(/^This deletes master key [0-9a-f]{16}\./)]);
      expect(stdout).toMatch(/^re-encrypted \d+ keys with master key [0-9a-f]{16}\n$/);
      const text = await readFile(file, "utf8");
      expect(text).toMatch(/^[\w-]{43}\n$/);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      seen.add(text);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    }
    expect(seen.size).toBe(5);
    expect(await masterKeysIn(dataDir)).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 4_500)); // another period: the core creates a key after the last change
    const { tokens, failures } = await issuing.stop();
    expect(failures).toEqual([]);
    expect(tokens.length).toBeGreaterThan(300);
    expect((await readdir(dataDir)).filter((name) => name.startsWith("master.key"))).toEqual(["master.key"]);
    const { stderr } = await core.kill("SIGKILL");
    expect(stderr).not.toContain('"level":"error"');

    const next = await startCoreProcess(dataDir, [], ENV);
    expect(await rejectionsOf(next.url, tokens)).toEqual([]);
    const more = issueTokens(next.url);
    await more.more(20);
    expect((await more.stop()).failures).toEqual([]);
  }, 60_000);

  test("S8 killed at any moment, the store opens with the keys in the file, and no key is lost", async () => {
    const dataDir = await temporaryDirectory();
    const first = await startCoreProcess(dataDir, [], ENV);
    await signWithES256(first.url);
    const issuing = issueTokens(first.url);
    await issuing.more(20);
    const { tokens } = await issuing.stop();
    await first.kill("SIGTERM");
    const file = join(dataDir, "master.key");
    let killed = 0;
    for (let round = 0; killed < 8; round++) {
      expect(round, "rounds until eight commands were killed while they ran").toBeLessThan(40);
      const before = await readFile(file, "utf8");
      const command = new Process([COUNTERSIGN_BIN, ...RESEAL, dataDir], ENV);
      // Starting takes most of the command's time, so the kill waits until the command first changes the file.
      while ((await readFile(file, "utf8")) === before && command.child.exitCode === null) await setImmediate();
      await new Promise((resolve) => setTimeout(resolve, round % 8));
      const { signal } = await command.kill("SIGKILL");
      if (signal === "SIGKILL") killed++;
      const held = (await readFile(file, "utf8")).trim().split("\n").map(idOf);
      expect(held).toEqual(expect.arrayContaining(await masterKeysIn(dataDir)));
    }
    const next = await startCoreProcess(dataDir, [], ENV);
    expect(await rejectionsOf(next.url, tokens)).toEqual([]);
    const more = issueTokens(next.url);
    await more.more(20);
    expect((await more.stop()).failures).toEqual([]);
    await next.kill("SIGTERM");
  }, 60_000);
});
