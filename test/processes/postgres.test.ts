// Many processes on one PostgreSQL, as a user starts them.
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createVerifier } from "countersign";
import { expect, onTestFinished, test, vi } from "vitest";
import { describeOnPostgres, note, type PostgresServer } from "../../packages/core/test/support/postgres.ts";
import { COUNTERSIGN_BIN, Process, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

const ADMIN_KEY = "admin-key-of-the-tests-01";

interface KeyView {
  kid: string;
  kind: string;
  algorithm: string;
  state: string;
  signsFrom: string;
  signsUntil: string | null;
}

async function admin<T>(url: string, method: string, path: string, body?: object): Promise<T> {
  const init: RequestInit = { method, headers: { authorization: `Bearer ${ADMIN_KEY}` } };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(`${url}/admin/v1${path}`, init);
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.anything()]);
  return JSON.parse(text) as T;
}

const keysOf = async (url: string) => (await admin<{ keys: KeyView[] }>(url, "GET", "/apps/public/keys")).keys;

async function mint(url: string, useStaticSigningKey: boolean, algorithm = "RS256"): Promise<string> {
  const payload = { sub: "orders", source: "microservice" };
  const body = { payload, algorithm, jwksDomain: "https://a.test", validity: 20, useStaticSigningKey };
  const response = await fetch(`${url}/recipe/jwt`, { method: "POST", body: JSON.stringify(body) });
  return ((await response.json()) as { jwt: string }).jwt;
}

async function refusalsOf(url: string, tokens: readonly string[]): Promise<string[]> {
  const verifier = createVerifier({ jwksUri: `${url}/.well-known/jwks-all.json` });
  onTestFinished(() => verifier.close());
  const decisions = await Promise.all(tokens.map((token) => verifier.verify(token)));
  return decisions.flatMap((decision) => (decision.allowed ? [] : [decision.reason]));
}

async function environmentOf(database: string, rotation?: object): Promise<NodeJS.ProcessEnv> {
  return {
    COUNTERSIGN_DATABASE: database,
    COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url"),
    COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY,
    ...(rotation && { COUNTERSIGN_ROTATION: JSON.stringify(rotation) }),
  };
}

await describeOnPostgres(describeProcesses);

function describeProcesses(server: PostgresServer): void {
  test("R7 sixteen processes that start at once on an empty database, and rotate every four seconds, make one key each time", async () => {
    const rotation = { lead: 3, period: 4, hold: 24, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };
    const env = { ...(await environmentOf(await server.newDatabase(), rotation)), COUNTERSIGN_POOL_SIZE: "2" };
    const place = await temporaryDirectory();
    const cores = await Promise.all(Array.from({ length: 16 }, () => startCoreProcess(place, [], env)));
    await admin(cores[0]!.url, "PUT", "/apps/public/algorithms", { algorithms: ["ES256"] });

    const seen = new Map<string, KeyView>();
    const began = Date.now();
    for (let round = 0; Date.now() - began < 20_000; round++) {
      const issuer = cores[round % cores.length]!.url;
      for (const key of await keysOf(issuer)) seen.set(key.kid, key);
      // Issued by one, verified by what another publishes, a second later at most.
      const tokens = [await mint(issuer, true, "ES256"), await mint(issuer, false, "ES256")];
      const other = cores[(round + 7) % cores.length]!.url;
      await vi.waitFor(async () => expect(await refusalsOf(other, tokens)).toEqual([]), { timeout: 1_000 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    for (const algorithm of ["RS256", "ES256"]) {
      const made = [...seen.values()].filter((key) => key.algorithm === algorithm);
      expect(made.filter((key) => key.kind === "static")).toHaveLength(1);
      // No two for one time, and no time without: each begins where the one before it ends, or, made late on a busy
      // machine, a lead after that.
      const dynamic = made.filter((key) => key.kind === "dynamic");
      dynamic.sort((a, b) => Date.parse(a.signsFrom) - Date.parse(b.signsFrom));
      expect(dynamic.length).toBeGreaterThanOrEqual(algorithm === "ES256" ? 5 : 1);
      for (const [i, key] of dynamic.slice(1).entries()) {
        const late = Date.parse(key.signsFrom) - Date.parse(dynamic[i]!.signsUntil!);
        expect(late).toBeGreaterThanOrEqual(0);
        expect(late).toBeLessThan(3_000);
      }
    }
    const sets = await Promise.all(
      cores.map(async ({ url }) => (await fetch(`${url}/.well-known/jwks-all.json`)).headers.get("etag")),
    );
    note(`R7 16 processes: ${seen.size} keys, ${new Set(sets).size} key set(s) served`);
    expect(await readdir(place)).toEqual([]);
  }, 90_000);

  test("R15 countersign backup and restore from one PostgreSQL to another, with no core running", async () => {
    const [from, to] = [await environmentOf(await server.newDatabase()), await server.newDatabase()];
    const core = await startCoreProcess(await temporaryDirectory(), [], from);
    await vi.waitFor(async () => expect(await keysOf(core.url)).toHaveLength(6), { timeout: 10_000 });
    const tokens = [await mint(core.url, true), await mint(core.url, false)];
    await admin(core.url, "POST", "/apps/public/revocations/services", { service: "intruder" });
    const before = await admin<{ generation: number }>(core.url, "GET", "/status");
    await core.kill("SIGTERM");

    const file = join(await temporaryDirectory(), "backup.json");
    const run = async (env: NodeJS.ProcessEnv, ...flags: string[]) =>
      new Process([COUNTERSIGN_BIN, ...flags], env).ended;
    const written = await run(from, "backup", file);
    expect([written.code, written.stdout]).toEqual([0, expect.stringMatching(/^wrote 6 key\(s\) of 1 app\(s\) to /)]);
    expect(await readFile(file, "utf8")).not.toContain(from["COUNTERSIGN_MASTER_KEY"]);

    const wrong = await run({ ...(await environmentOf(to)) }, "restore", file);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/sealed under master key [0-9a-f]{16}/)]);
    const destination = { ...from, COUNTERSIGN_DATABASE: to };
    const restored = await run(destination, "restore", file);
    expect([restored.code, restored.stderr]).toEqual([
      0,
      expect.stringMatching(/THE STORE WAS RESTORED FROM A BACKUP/),
    ]);
    const { host, pathname } = new URL(to);
    expect(restored.stdout).toContain(` into ${host}${pathname}, generation `);
    const again = await run(destination, "restore", file);
    expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/in use \(1 app\(s\)\).*--force/)]);

    expect((await run(destination, "keys", "list")).code).toBe(0);
    const second = await startCoreProcess(await temporaryDirectory(), [], destination);
    const prepared = async () => (await keysOf(second.url)).filter((key) => key.state === "prepared");
    await vi.waitFor(async () => expect(await prepared()).toHaveLength(4), { timeout: 5_000 });
    expect(await refusalsOf(second.url, tokens)).toEqual([]);
    expect((await admin<{ generation: number }>(second.url, "GET", "/status")).generation).toBeGreaterThan(
      before.generation,
    );
    const feed = await admin<{ services: unknown[] }>(second.url, "GET", "/apps/public/revocations");
    expect(feed.services).toEqual([["intruder", expect.any(Number)]]);
  }, 60_000);
}
