// The master key changes while a core works under it.
import { randomBytes } from "node:crypto";
import { copyFile, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { DatabaseSync } from "@photostructure/sqlite";
import { createVerifier } from "countersign";
import { describe, expect, onTestFinished, test } from "vitest";
import { masterKeyIdOf } from "../../packages/core/src/adapters/vault/envelope-vault.ts";
import { COUNTERSIGN_BIN, Process, startCoreProcess, temporaryDirectory, type Exit } from "../support/processes.ts";

const ADMIN_KEY = "admin-key-of-the-tests-01";
// Keys every four seconds, so that some are being made whenever the master key changes.
const ROTATION = { lead: 3, period: 4, hold: 60, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };
const ENV = { COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY, COUNTERSIGN_ROTATION: JSON.stringify(ROTATION) };

function countersign(flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Exit> {
  const command = new Process([COUNTERSIGN_BIN, ...flags], { ...ENV, COUNTERSIGN_ADMIN_KEY: ADMIN_KEY, ...env });
  onTestFinished(() => void command.kill("SIGKILL"));
  return command.ended;
}

async function setAlgorithms(url: string): Promise<void> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const body = JSON.stringify({ algorithms: ["ES256"] });
  const answer = await fetch(`${url}/admin/v1/apps/public/algorithms`, { method: "PUT", headers, body });
  expect(answer.status).toBe(200);
}

/** Issues tokens until it is stopped. */
function issueAll(url: string): { stop(): Promise<{ tokens: string[]; failures: string[] }> } {
  const tokens: string[] = [];
  const failures: string[] = [];
  const order = { stopped: false };
  const running = (async () => {
    for (let i = 0; !order.stopped; i++) {
      const fields = {
        payload: { sub: "orders", source: "microservice" },
        algorithm: "ES256",
        jwksDomain: "https://a.test",
        validity: 3600,
      };
      const body = JSON.stringify({ ...fields, useStaticSigningKey: i % 2 === 0 });
      const text = await (await fetch(`${url}/recipe/jwt`, { method: "POST", body })).text();
      if (text.includes('"status":"OK"')) tokens.push((JSON.parse(text) as { jwt: string }).jwt);
      else failures.push(text);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    async stop() {
      order.stopped = true;
      await running;
      return { tokens, failures };
    },
  };
}

async function refusedOf(url: string, tokens: readonly string[]): Promise<string[]> {
  const verifier = createVerifier({ jwksUri: `${url}/.well-known/jwks-all.json` });
  onTestFinished(() => verifier.close());
  const decisions = await Promise.all(tokens.map((token) => verifier.verify(token)));
  return [...new Set(decisions.flatMap((decision) => (decision.allowed ? [] : [decision.reason])))];
}

const idOf = (line: string) => masterKeyIdOf(Buffer.from(line, "base64url"));

/** The master keys that rows need. */
function masterKeysIn(dataDir: string): string[] {
  const database = new DatabaseSync(join(dataDir, "countersign.db"));
  try {
    const rows = database.prepare("select distinct master_key_id as id from signing_keys").all();
    return (rows as { id: string }[]).map((row) => row.id);
  } finally {
    database.close();
  }
}

describe("S8 countersign keys reseal", () => {
  test("S8 --new-master-key under a core that issues tokens and makes keys: no token fails, and the new key alone opens everything", async () => {
    const dataDir = await temporaryDirectory();
    const core = await startCoreProcess(dataDir, [], ENV);
    await setAlgorithms(core.url);
    const issuing = issueAll(core.url);
    const file = join(dataDir, "master.key");
    const seen = new Set([await readFile(file, "utf8")]);
    for (let round = 0; round < 4; round++) {
      const { code, stdout, stderr } = await countersign([
        "keys",
        "reseal",
        "--new-master-key",
        "--yes",
        "--data-dir",
        dataDir,
      ]);
      expect([code, stderr]).toEqual([0, expect.stringMatching(/^Master key [0-9a-f]{16} is destroyed\./)]);
      expect(stdout).toMatch(/^sealed \d+ key\(s\) under master key [0-9a-f]{16}\n$/);
      const text = await readFile(file, "utf8");
      expect(text).toMatch(/^[\w-]{43}\n$/);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      seen.add(text);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
    }
    expect(seen.size).toBe(5);
    expect(masterKeysIn(dataDir)).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 4_500)); // another period: a key made after the last change
    const { tokens, failures } = await issuing.stop();
    expect(failures).toEqual([]);
    expect(tokens.length).toBeGreaterThan(300);
    expect((await readdir(dataDir)).filter((name) => name.startsWith("master.key"))).toEqual(["master.key"]);
    const { stderr } = await core.kill("SIGKILL");
    expect(stderr).not.toContain('"level":"error"');

    const next = await startCoreProcess(dataDir, [], ENV);
    expect(await refusedOf(next.url, tokens)).toEqual([]);
    const more = issueAll(next.url);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await more.stop()).failures).toEqual([]);
  }, 60_000);

  test("S8 a crash on the way leaves both keys in the file: the store is readable, and the next time ends with one", async () => {
    const dataDir = await temporaryDirectory();
    const rsaOnly = { ...ENV, COUNTERSIGN_ALGORITHMS: "RS256" };
    await (await startCoreProcess(dataDir, [], rsaOnly)).kill("SIGTERM");
    const file = join(dataDir, "master.key");
    const old = await readFile(file, "utf8");
    const draft = `${randomBytes(32).toString("base64url")}\n`;
    await writeFile(file, `${draft}${old}`); // as after a crash before anything was sealed again
    const core = await startCoreProcess(dataDir, [], ENV);
    await setAlgorithms(core.url);
    const mixed = issueAll(core.url);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { tokens, failures } = await mixed.stop();
    expect([failures, masterKeysIn(dataDir).length]).toEqual([[], 2]);
    const { code } = await countersign(["keys", "reseal", "--new-master-key", "--yes", "--data-dir", dataDir]);
    expect(code).toBe(0);
    const last = await readFile(file, "utf8");
    expect(last).toMatch(/^[\w-]{43}\n$/);
    expect([draft, old]).not.toContain(last);
    await core.kill("SIGTERM");
    const next = await startCoreProcess(dataDir, [], ENV);
    expect(await refusedOf(next.url, tokens)).toEqual([]);
  });

  test("S8 killed at any moment, the store opens with what the file says, and no key is lost", async () => {
    const dataDir = await temporaryDirectory();
    const first = await startCoreProcess(dataDir, [], ENV);
    await setAlgorithms(first.url);
    const issuing = issueAll(first.url);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { tokens } = await issuing.stop();
    await first.kill("SIGTERM");
    const file = join(dataDir, "master.key");
    let inTheMiddle = 0;
    for (let round = 0; inTheMiddle < 8; round++) {
      expect(round, "rounds until eight of them were killed in the middle").toBeLessThan(40);
      const before = await readFile(file, "utf8");
      const command = new Process(
        [COUNTERSIGN_BIN, "keys", "reseal", "--new-master-key", "--yes", "--data-dir", dataDir],
        ENV,
      );
      // Most of a command's life is its start; from the first change of the file on it matters when it ends.
      while ((await readFile(file, "utf8")) === before && command.child.exitCode === null) await setImmediate();
      await new Promise((resolve) => setTimeout(resolve, round % 8));
      const { signal } = await command.kill("SIGKILL");
      if (signal === "SIGKILL") inTheMiddle++;
      const held = (await readFile(file, "utf8")).trim().split("\n").map(idOf);
      expect(held).toEqual(expect.arrayContaining(masterKeysIn(dataDir)));
    }
    const next = await startCoreProcess(dataDir, [], ENV);
    expect(await refusedOf(next.url, tokens)).toEqual([]);
    const more = issueAll(next.url);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await more.stop()).failures).toEqual([]);
    await next.kill("SIGTERM");
  }, 60_000);

  test("S8 says which master key is destroyed and asks; --keep-old keeps it, and an earlier backup is restored with it", async () => {
    const [dataDir, elsewhere] = [await temporaryDirectory(), await temporaryDirectory()];
    const [backup, kept] = [join(elsewhere, "backup.json"), join(elsewhere, "old.key")];
    const core = await startCoreProcess(dataDir, [], ENV);
    await setAlgorithms(core.url);
    const issuing = issueAll(core.url);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { tokens } = await issuing.stop();
    expect((await countersign(["backup", backup, "--url", core.url])).code).toBe(0);
    await core.kill("SIGTERM");
    const old = await readFile(join(dataDir, "master.key"), "utf8");

    const renew = ["keys", "reseal", "--new-master-key", "--data-dir", dataDir];
    const asked = await countersign(renew);
    const [id] = masterKeysIn(dataDir);
    expect([asked.code, asked.stderr]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^Master key ${id} is destroyed\\. A backup [^]*--keep-old[^]*add --yes`)),
    ]);
    expect(await readFile(join(dataDir, "master.key"), "utf8")).toBe(old);
    const { code, stdout, stderr } = await countersign([...renew, "--keep-old", kept]);
    expect([code, stderr, stdout]).toEqual([0, "", expect.stringContaining(`kept master key ${id} in ${kept}`)]);
    expect([await readFile(kept, "utf8"), (await stat(kept)).mode & 0o777]).toEqual([old, 0o600]);
    const again = await countersign([...renew, "--keep-old", kept]);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringMatching(/cannot write .*old\.key: a file is in the way/),
    ]);

    const place = await temporaryDirectory();
    await copyFile(join(dataDir, "master.key"), join(place, "master.key"));
    const refused = await countersign(["restore", backup, "--data-dir", place]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(new RegExp(`sealed under master key ${id}`)),
    ]);
    await copyFile(kept, join(place, "master.key"));
    const restored = await countersign(["restore", backup, "--data-dir", place]);
    expect([restored.code, restored.stdout]).toEqual([0, expect.stringContaining(` into ${place}, `)]);
    const next = await startCoreProcess(place, [], ENV);
    expect(await refusedOf(next.url, tokens)).toEqual([]);
  });

  test("S8 --new-master-key where there is no store makes none", async () => {
    const directory = await temporaryDirectory();
    for (const place of [directory, join(directory, "typo")]) {
      const { code, stdout, stderr } = await countersign([
        ...["keys", "reseal", "--new-master-key", "--yes", "--data-dir", place],
      ]);
      expect([code, stdout, stderr]).toEqual([
        1,
        "",
        `countersign: there is no database in ${place}: name its directory with --data-dir\n`,
      ]);
    }
    expect(await readdir(directory)).toEqual([]);
  });

  test("R3 a database that stays locked is said in one line, and nothing is done", async () => {
    const dataDir = await temporaryDirectory();
    const core = await startCoreProcess(dataDir, [], ENV);
    const backup = join(await temporaryDirectory(), "backup.json");
    expect((await countersign(["backup", backup, "--url", core.url])).code).toBe(0);
    await core.kill("SIGTERM");
    const before = await readFile(join(dataDir, "master.key"), "utf8");
    const foreign = new DatabaseSync(join(dataDir, "countersign.db"));
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
    const first = await startCoreProcess(dataDir, [], withKeys(a));
    await setAlgorithms(first.url);
    const issuing = issueAll(first.url);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { tokens } = await issuing.stop();
    await first.kill("SIGTERM");

    const foreign = await countersign(["start", "--port", "0", "--data-dir", dataDir], withKeys(b));
    expect([foreign.code, foreign.stderr]).toEqual([
      1,
      expect.stringMatching(/sealed under master key [0-9a-f]{16}, and/),
    ]);
    for (const secret of [a, b]) expect(foreign.stderr).not.toContain(secret);

    const both = await startCoreProcess(dataDir, [], withKeys(`${b}, ${a}`));
    expect(await refusedOf(both.url, tokens)).toEqual([]);
    const remote = await countersign(["keys", "reseal", "--url", both.url]);
    expect([remote.code, remote.stdout]).toEqual([0, expect.stringMatching(/^sealed \d+ key/)]);
    expect(masterKeysIn(dataDir)).toHaveLength(1);
    const own = await countersign(["keys", "reseal", "--new-master-key", "--yes", "--data-dir", dataDir], withKeys(b));
    expect([own.code, own.stderr]).toEqual([1, expect.stringMatching(/master key is in COUNTERSIGN_MASTER_KEY/)]);
    const far = await countersign(["keys", "reseal", "--new-master-key", "--url", both.url]);
    expect([far.code, far.stderr]).toEqual([1, expect.stringMatching(/--data-dir, not --url/)]);
    await both.kill("SIGTERM");

    const last = await startCoreProcess(dataDir, [], withKeys(b));
    expect(await refusedOf(last.url, tokens)).toEqual([]);
    expect((await readdir(dataDir)).filter((name) => name.startsWith("master.key"))).toEqual([]);
  });
});
