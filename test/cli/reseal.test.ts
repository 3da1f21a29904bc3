// `countersign keys reseal`. test/processes/reseal.long.test.ts runs it while a core issues tokens, and kills it.
import { randomBytes } from "node:crypto";
import { copyFile, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { runCommand, type CommandResult } from "../../packages/core/test/support/cli.ts";
import { openDatabase } from "../../packages/core/test/support/sqlite.ts";
import { rejectionsOf } from "../support/core-client.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";
import { ADMIN_KEY, ENV, issueTokens, masterKeysIn, signWithES256 } from "../support/resealing.ts";

function countersign(flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CommandResult> {
  return runCommand(flags, { ...ENV, COUNTERSIGN_ADMIN_KEY: ADMIN_KEY, ...env });
}

describe("S8 countersign keys reseal", () => {
  test("S8 after a crash, the file has both keys and the store is readable; the next run leaves one key", async () => {
    const dataDir = await temporaryDirectory();
    const rsaOnly = { ...ENV, COUNTERSIGN_ALGORITHMS: "RS256" };
    await (await startCore(dataDir, [], rsaOnly)).stop();
    const file = join(dataDir, "master.key");
    const old = await readFile(file, "utf8");
    const draft = `${randomBytes(32).toString("base64url")}\n`;
    await writeFile(file, `${draft}${old}`); // as after a crash before anything was re-encrypted
    const core = await startCore(dataDir, [], ENV);
    await signWithES256(core.url);
    const mixed = issueTokens(core.url);
    await mixed.more(20);
    const { tokens, failures } = await mixed.stop();
    expect([failures, (await masterKeysIn(dataDir)).length]).toEqual([[], 2]);
    const { code } = await countersign(["keys", "reseal", "--new-master-key", "--yes", "--data-dir", dataDir]);
    expect(code).toBe(0);
    const last = await readFile(file, "utf8");
    expect(last).toMatch(/^[\w-]{43}\n$/);
    expect([draft, old]).not.toContain(last);
    await core.stop();
    const next = await startCore(dataDir, [], ENV);
    expect(await rejectionsOf(next.url, tokens)).toEqual([]);
  });

  test("S8 names the master key that it deletes and asks; --keep-old saves it, and restores an earlier backup", async () => {
    const [dataDir, elsewhere] = [await temporaryDirectory(), await temporaryDirectory()];
    const [backup, kept] = [join(elsewhere, "backup.json"), join(elsewhere, "old.key")];
    const core = await startCore(dataDir, [], ENV);
    await signWithES256(core.url);
    const issuing = issueTokens(core.url);
    await issuing.more(20);
    const { tokens } = await issuing.stop();
    expect((await countersign(["backup", backup, "--url", core.url])).code).toBe(0);
    await core.stop();
    const old = await readFile(join(dataDir, "master.key"), "utf8");

    const renew = ["keys", "reseal", "--new-master-key", "--data-dir", dataDir];
    const asked = await countersign(renew);
    const [id] = await masterKeysIn(dataDir);
    expect([asked.code, asked.stderr]).toEqual([
      1,
      expect.stringMatching(
        new RegExp(`^This deletes master key ${id}\\. Earlier backups [^]*--keep-old[^]*pass --yes`),
      ),
    ]);
    expect(await readFile(join(dataDir, "master.key"), "utf8")).toBe(old);
    const { code, stdout, stderr } = await countersign([...renew, "--keep-old", kept]);
    expect([code, stderr, stdout]).toEqual([0, "", expect.stringContaining(`saved master key ${id} to ${kept}`)]);
    expect([await readFile(kept, "utf8"), (await stat(kept)).mode & 0o777]).toEqual([old, 0o600]);
    const again = await countersign([...renew, "--keep-old", kept]);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringMatching(/cannot write .*old\.key: a file with this name already exists/),
    ]);

    const place = await temporaryDirectory();
    await copyFile(join(dataDir, "master.key"), join(place, "master.key"));
    const refused = await countersign(["restore", backup, "--data-dir", place]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(new RegExp(`encrypted with master key ${id}`)),
    ]);
    await copyFile(kept, join(place, "master.key"));
    const restored = await countersign(["restore", backup, "--data-dir", place]);
    expect([restored.code, restored.stdout]).toEqual([0, expect.stringContaining(` to ${place}, `)]);
    const next = await startCore(place, [], ENV);
    expect(await rejectionsOf(next.url, tokens)).toEqual([]);
  });

  test("S8 --new-master-key without a store creates none", async () => {
    const directory = await temporaryDirectory();
    for (const place of [directory, join(directory, "typo")]) {
      const { code, stdout, stderr } = await countersign([
        ...["keys", "reseal", "--new-master-key", "--yes", "--data-dir", place],
      ]);
      expect([code, stdout, stderr]).toEqual([
        1,
        "",
        `countersign: no database found in "${place}"; set --data-dir to the core's data directory\n`,
      ]);
    }
    expect(await readdir(directory)).toEqual([]);
  });

  test("R3 a database that stays locked is an error in one line, and nothing changes", async () => {
    const dataDir = await temporaryDirectory();
    const core = await startCore(dataDir, [], ENV);
    const backup = join(await temporaryDirectory(), "backup.json");
    expect((await countersign(["backup", backup, "--url", core.url])).code).toBe(0);
    await core.stop();
    const before = await readFile(join(dataDir, "master.key"), "utf8");
    const foreign = await openDatabase(join(dataDir, "countersign.db"));
    onTestFinished(() => foreign.close());
    foreign.exec("begin immediate");
    const exits = await Promise.all([
      countersign(["keys", "reseal", "--new-master-key", "--yes", "--data-dir", dataDir]),
      countersign(["restore", backup, "--force", "--data-dir", dataDir]),
    ]);
    for (const { code, stderr } of exits) {
      expect([code, stderr]).toEqual([1, expect.stringMatching(/^countersign: the database was locked for 5 s$/m)]);
      expect(stderr).not.toMatch(/\n\s+at /);
    }
    foreign.exec("rollback");
    expect(await readFile(join(dataDir, "master.key"), "utf8")).toBe(before);
  });

  test("S8 with COUNTERSIGN_MASTER_KEY: old,new then new,old then reseal then new", async () => {
    const dataDir = await temporaryDirectory();
    const [a, b] = [randomBytes(32).toString("base64url"), randomBytes(32).toString("base64url")];
    const withKeys = (keys: string) => ({ ...ENV, COUNTERSIGN_MASTER_KEY: keys });
    const first = await startCore(dataDir, [], withKeys(a));
    await signWithES256(first.url);
    const issuing = issueTokens(first.url);
    await issuing.more(20);
    const { tokens } = await issuing.stop();
    await first.stop();

    const foreign = await countersign(["start", "--port", "0", "--data-dir", dataDir], withKeys(b));
    expect([foreign.code, foreign.stderr]).toEqual([
      1,
      expect.stringMatching(/encrypted with master key [0-9a-f]{16}, but/),
    ]);
    for (const secret of [a, b]) expect(foreign.stderr).not.toContain(secret);

    const both = await startCore(dataDir, [], withKeys(`${b}, ${a}`));
    expect(await rejectionsOf(both.url, tokens)).toEqual([]);
    const remote = await countersign(["keys", "reseal", "--url", both.url]);
    expect([remote.code, remote.stdout]).toEqual([0, expect.stringMatching(/^re-encrypted \d+ key/)]);
    expect(await masterKeysIn(dataDir)).toHaveLength(1);
    const own = await countersign(["keys", "reseal", "--new-master-key", "--yes", "--data-dir", dataDir], withKeys(b));
    expect([own.code, own.stderr]).toEqual([1, expect.stringMatching(/master key is in COUNTERSIGN_MASTER_KEY/)]);
    const far = await countersign(["keys", "reseal", "--new-master-key", "--url", both.url]);
    expect([far.code, far.stderr]).toEqual([
      1,
      expect.stringMatching(/use --data-dir or COUNTERSIGN_DATABASE instead of --url/),
    ]);
    await both.stop();

    const last = await startCore(dataDir, [], withKeys(b));
    expect(await rejectionsOf(last.url, tokens)).toEqual([]);
    expect((await readdir(dataDir)).filter((name) => name.startsWith("master.key"))).toEqual([]);
  });
});
