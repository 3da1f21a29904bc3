// Backups: what a restored store contains, and how cores and verifiers detect that it is an older state.
import { createHash } from "node:crypto";
import { copyFile, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createVerifier } from "countersign";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { runCommand, type CommandResult } from "../../packages/core/test/support/cli.ts";
import { openDatabase } from "../../packages/core/test/support/sqlite.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

const ADMIN_KEY = "admin-key-of-the-tests-01";
const CORE_ENV = { COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY };

interface KeyView {
  kid: string;
  kind: string;
  algorithm: string;
  state: string;
  signsFrom: string;
}
interface Core {
  url: string;
}

function countersign(...flags: string[]): Promise<CommandResult> {
  return runCommand(flags, { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY });
}

async function succeeded(running: Promise<CommandResult>): Promise<CommandResult> {
  const exit = await running;
  expect(exit.stderr).not.toContain("countersign:");
  expect(exit.code).toBe(0);
  return exit;
}

async function admin<T>(core: Core, method: string, path: string, body?: object): Promise<T> {
  const init: RequestInit = { method, headers: { authorization: `Bearer ${ADMIN_KEY}` } };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(`${core.url}/admin/v1${path}`, init);
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.anything()]);
  return JSON.parse(text) as T;
}

const keysOf = async (core: Core) => (await admin<{ keys: KeyView[] }>(core, "GET", "/apps/public/keys")).keys;
const statusOf = (core: Core) => admin<{ generation: number; epoch: number }>(core, "GET", "/status");

async function mint(core: Core, useStaticSigningKey: boolean, sub = "orders"): Promise<string> {
  const body = {
    payload: { sub, source: "microservice" },
    algorithm: "RS256",
    jwksDomain: "https://a.test",
    validity: 3600,
    useStaticSigningKey,
  };
  const response = await fetch(`${core.url}/recipe/jwt`, { method: "POST", body: JSON.stringify(body) });
  return ((await response.json()) as { jwt: string }).jwt;
}

async function verifies(core: Core, token: string): Promise<boolean> {
  const verifier = createVerifier({ jwksUri: `${core.url}/.well-known/jwks.json` });
  onTestFinished(() => verifier.close());
  return (await verifier.verify(token)).allowed;
}

async function digestsOf(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).sort();
  const digest = async (name: string) =>
    `${name} ${createHash("sha256")
      .update(await readFile(join(directory, name)))
      .digest("hex")}`;
  return Promise.all(names.map(digest));
}

/** A core with tokens, and a backup of it. */
async function backedUp() {
  const dataDir = await temporaryDirectory();
  const file = join(await temporaryDirectory(), "backup.json");
  const core = await startCore(dataDir, [], CORE_ENV);
  await vi.waitFor(async () => expect(await keysOf(core)).toHaveLength(6), { timeout: 10_000 });
  const tokens = [await mint(core, true), await mint(core, false)];
  await admin(core, "POST", "/apps/public/revocations/services", { service: "intruder" });
  const exit = await succeeded(countersign("backup", file, "--url", core.url));
  return { dataDir, file, core, tokens, exit };
}

describe("countersign backup", () => {
  test("writes one file for its owner, without the master key, and prints a note; overwrites a file only with --force", async () => {
    const { dataDir, file, exit, core } = await backedUp();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const text = await readFile(file, "utf8");
    const masterKey = (await readFile(join(dataDir, "master.key"), "utf8")).trim();
    expect(text).not.toContain(masterKey);
    expect(exit.stderr).toMatch(/The backup does not contain master key [0-9a-f]{16}.*Save that key separately/);

    const again = await countersign("backup", file, "--data-dir", dataDir);
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringMatching(/already exists; pass --force to overwrite it/),
    ]);
    expect(await readFile(file, "utf8")).toBe(text);
    await admin(core, "POST", "/apps/public/revocations/services", { service: "another" });
    await succeeded(countersign("backup", file, "--data-dir", dataDir, "--force"));
    const { revokedServices } = JSON.parse(await readFile(file, "utf8")) as { revokedServices: object[] };
    expect(revokedServices).toHaveLength(2);
    expect(await readdir(join(file, ".."))).toEqual(["backup.json"]);
  });
});

describe("countersign restore", () => {
  test("R15 an old backup in a new place: its tokens verify, the generation rises, all signing keys are replaced, with a warning", async () => {
    const { dataDir, file, core, tokens } = await backedUp();
    const old = await keysOf(core);
    const before = await statusOf(core);
    await admin(core, "POST", "/apps/public/keys/rotate", {}); // lost like every change after the backup
    await core.stop();

    const generations: number[] = [];
    for (let round = 0; round < 2; round++) {
      const place = await temporaryDirectory();
      await copyFile(join(dataDir, "master.key"), join(place, "master.key"));
      const exit = await succeeded(countersign("restore", file, "--data-dir", place));
      expect(exit.stdout).toContain(` to ${place}, generation `);
      expect(exit.stderr.match(/store restored from backup/g)).toHaveLength(1);
      const restored = await startCore(place, [], CORE_ENV);
      const { generation } = await statusOf(restored);
      generations.push(generation);
      for (const token of tokens) expect(await verifies(restored, token)).toBe(true);
      const keys = await vi.waitFor(
        async () => {
          const found = await keysOf(restored);
          expect(found.filter((key) => key.kind === "static" && key.state === "prepared")).toHaveLength(2);
          return found;
        },
        { timeout: 5_000 },
      );
      expect(keys.map((key) => key.kid)).toEqual(expect.arrayContaining(old.map((key) => key.kid)));
      for (const kind of ["static", "dynamic"]) {
        const prepared = keys.filter((key) => key.kind === kind && key.state === "prepared");
        expect(prepared).toHaveLength(2); // one of each algorithm
        // Published for the lead time of ten minutes from now.
        for (const { signsFrom } of prepared) {
          expect(Date.parse(signsFrom) - Date.now()).toBeGreaterThan(580_000);
          expect(Date.parse(signsFrom) - Date.now()).toBeLessThan(600_000);
        }
      }
      const feed = await admin<{ services: unknown[]; generation: number }>(
        restored,
        "GET",
        "/apps/public/revocations",
      );
      expect(feed).toMatchObject({ services: [["intruder", expect.any(Number)]], generation });
      await restored.stop();
      await new Promise((resolve) => setTimeout(resolve, 1_000)); // the generation is a time in seconds
    }
    expect(generations[0]).toBeGreaterThan(before.generation);
    expect(generations[1]).toBeGreaterThan(generations[0]!);
  });

  test("R15 into a store that a core uses: only with --force, and the core detects it", async () => {
    const { dataDir, file, core, tokens } = await backedUp();
    await fetch(`${core.url}/recipe/multitenancy/app/v2`, {
      method: "PUT",
      headers: { "api-key": ADMIN_KEY },
      body: JSON.stringify({ appId: "late" }),
    });
    const before = await statusOf(core);
    const refused = await countersign("restore", file, "--data-dir", dataDir);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/store is not empty \(2 apps\).*--force/),
    ]);
    expect(await statusOf(core)).toMatchObject({ generation: before.generation, apps: 2 });

    await succeeded(countersign("restore", file, "--data-dir", dataDir, "--force"));
    await vi.waitFor(
      async () => expect((await statusOf(core)).generation).toBeGreaterThanOrEqual(Date.now() / 1000 - 60),
      { timeout: 5_000 },
    );
    await vi.waitFor(async () => expect(await keysOf(core)).toHaveLength(8), { timeout: 5_000 });
    expect((await admin<{ apps: object[] }>(core, "GET", "/apps")).apps).toHaveLength(1);
    for (const token of [...tokens, await mint(core, true)]) expect(await verifies(core, token)).toBe(true);
    expect((await core.stop()).stderr).not.toContain("store rollback detected");
  });

  test("R15 rejects a damaged, newer or invalid backup, and one with another master key; the store is unchanged", async () => {
    const { dataDir, file, core } = await backedUp();
    await core.stop();
    const before = await digestsOf(dataDir);
    const text = await readFile(file, "utf8");
    const wrong = join(await temporaryDirectory(), "wrong.json");
    for (const [content, words] of [
      [text.slice(0, text.length / 2), /not valid JSON/],
      [text.replace('"static"', '"dynamic"'), /: damaged.*sha256/],
      [text.replace('"intruder"', '"intruded"'), /: damaged.*sha256/],
      [text.replace(/"sha256": ".{4}/, '"sha256": "0000'), /: damaged.*sha256/],
      [text.replace('"version": 2', '"version": 3'), /version 3.*newer/],
      ["{}", /not a backup/],
      ["null", /not a backup/],
      ["", /not valid JSON/],
    ] as const) {
      await writeFile(wrong, content);
      const exit = await countersign("restore", wrong, "--data-dir", dataDir, "--force");
      expect([exit.code, exit.stderr]).toEqual([1, expect.stringMatching(words)]);
      expect(exit.stderr).not.toMatch(/\n\s+at /);
    }
    expect(await digestsOf(dataDir)).toEqual(before);

    const otherPlace = await temporaryDirectory();
    const noKey = await countersign("restore", file, "--data-dir", otherPlace);
    expect([noKey.code, noKey.stderr]).toEqual([
      1,
      expect.stringMatching(/master key [0-9a-f]{16}.*master\.key is missing/),
    ]);
    expect(await readdir(otherPlace)).toEqual([]);
    await writeFile(join(otherPlace, "master.key"), `${Buffer.alloc(32, 7).toString("base64url")}\n`);
    const otherKey = await countersign("restore", file, "--data-dir", otherPlace);
    expect([otherKey.code, otherKey.stderr]).toEqual([
      1,
      expect.stringMatching(/backup's keys are encrypted with master key/),
    ]);
    expect(await readdir(otherPlace)).toEqual(["master.key"]);
  });
});

test("R15 a core whose database file is replaced reports it, issues tokens and writes to neither file; then it is restored", async () => {
  const { dataDir, core } = await backedUp();
  const path = join(dataDir, "countersign.db");
  const copy = join(await temporaryDirectory(), "old.db");
  const database = await openDatabase(path);
  database.exec(`vacuum into '${copy}'`);
  database.close();
  await admin(core, "POST", "/apps/public/revocations/tokens", { jti: "late" });
  const before = await statusOf(core);
  await rename(copy, path);
  const old = await readFile(path);

  await vi.waitFor(() => expect(core.stderr).toMatch(/moved or replaced while in use/), { timeout: 5_000 });
  const token = await mint(core, true);
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const body = JSON.stringify({ jti: "refused" });
  const url = `${core.url}/admin/v1/apps/public/revocations/tokens`;
  expect((await fetch(url, { method: "POST", headers, body })).status).toBe(503);
  expect(await readFile(path)).toEqual(old);
  await core.stop();

  // As the message says: only an operator can know that the new file is an older state.
  const backup = join(await temporaryDirectory(), "of-the-old-one.json");
  await succeeded(countersign("backup", backup, "--data-dir", dataDir));
  await succeeded(countersign("restore", backup, "--data-dir", dataDir, "--force"));
  const again = await startCore(dataDir, [], CORE_ENV);
  expect((await statusOf(again)).generation).toBeGreaterThan(before.generation);
  await vi.waitFor(async () => expect(await keysOf(again)).toHaveLength(8), { timeout: 5_000 });
  expect(await verifies(again, token)).toBe(true);
});

test("R15 a running core notices once that its store was rolled back: an alarm, a new generation, new active keys", async () => {
  const dataDir = await temporaryDirectory();
  const core = await startCore(dataDir, [], CORE_ENV);
  await vi.waitFor(async () => expect(await keysOf(core)).toHaveLength(6), { timeout: 10_000 });
  const token = await mint(core, true);
  const foreign = await openDatabase(join(dataDir, "countersign.db"));
  onTestFinished(() => foreign.close());
  const copy = join(await temporaryDirectory(), "old.db");
  foreign.exec(`vacuum into '${copy}'`);

  for (const jti of ["a", "b", "c"]) await admin(core, "POST", "/apps/public/revocations/tokens", { jti });
  const before = await statusOf(core);
  foreign.exec("pragma foreign_keys = off; pragma busy_timeout = 5000");
  foreign.exec(`attach '${copy}' as old`);
  foreign.exec("begin immediate");
  for (const table of ["core_state", "apps", "signing_keys", "revoked_tokens", "revoked_services"]) {
    foreign.exec(`delete from main.${table}; insert into main.${table} select * from old.${table}`);
  }
  foreign.exec("commit");

  await vi.waitFor(() => expect(core.stderr).toContain("store rollback detected"), { timeout: 5_000 });
  await vi.waitFor(() => expect(core.stderr).toContain("generation raised"), { timeout: 5_000 });
  await vi.waitFor(async () => expect(await keysOf(core)).toHaveLength(8), { timeout: 5_000 });
  const after = await statusOf(core);
  expect(after.generation).toBeGreaterThan(before.generation);
  expect(after.generation).toBeGreaterThanOrEqual(Math.floor(Date.now() / 1000) - 60);
  const keys = await keysOf(core);
  expect(
    keys
      .filter((key) => key.state === "prepared")
      .map((key) => key.kind)
      .sort(),
  ).toEqual(["dynamic", "dynamic", "static", "static"]);
  expect(await verifies(core, token)).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 3_000)); // three more polls
  expect((await statusOf(core)).generation).toBe(after.generation);
  const { stderr } = await core.stop();
  expect(stderr.match(/"level":"error"/g)).toHaveLength(1);
});
