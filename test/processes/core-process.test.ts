// The core as a process: what survives a restart, and the errors when it cannot start.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { createCountersign, createVerifier } from "countersign";
import { describe, expect, onTestFinished, test } from "vitest";
import { COUNTERSIGN_BIN, Process, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

const API_KEY = "test-api-key-of-24-chars";

async function mint(url: string, useStatic: boolean, validity = 3600): Promise<string> {
  const service = createCountersign({
    appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
    core: { connectionURI: url, apiKey: API_KEY },
  });
  const answer = await service.createJWT({ source: "microservice", service: "orders" }, validity, useStatic);
  if (answer.status !== "OK") throw new Error(answer.status);
  return answer.jwt;
}

async function decide(url: string, token: string) {
  const verifier = createVerifier({ jwksUri: `${url}/.well-known/jwks.json` });
  onTestFinished(() => verifier.close());
  return verifier.verify(token);
}

function runCore(flags: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const core = new Process([COUNTERSIGN_BIN, ...flags], env);
  onTestFinished(() => void core.kill("SIGKILL"));
  return core.ended;
}

async function digestOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

describe("issued tokens remain valid", () => {
  test("a token issued before a restart verifies after it, with a static and with a dynamic key", async () => {
    const dataDir = await temporaryDirectory();
    const first = await startCoreProcess(dataDir, ["--api-key", API_KEY]);
    const tokens = [await mint(first.url, true), await mint(first.url, false)];
    const exit = await first.kill("SIGTERM");
    expect(exit.code).toBe(0);

    const second = await startCoreProcess(dataDir, ["--api-key", API_KEY]);
    for (const token of tokens) {
      expect(await decide(second.url, token)).toMatchObject({ allowed: true, caller: { service: "orders" } });
    }
  });

  test("R16 the SDK warns once of an exp that the key shortened, with the requested and the actual exp", async () => {
    const core = await startCoreProcess(await temporaryDirectory(), ["--api-key", API_KEY]);
    const warnings: (Error & { code?: string })[] = [];
    const remember = (warning: Error) => void warnings.push(warning);
    process.on("warning", remember);
    onTestFinished(() => void process.off("warning", remember));
    const before = Date.now();
    const token = await mint(core.url, false, 3_153_600_000);
    await mint(core.url, false, 3_153_600_000);
    await new Promise((resolve) => setImmediate(resolve)); // warnings are emitted later
    const clamped = warnings.filter((warning) => warning.code === "COUNTERSIGN_EXP_CLAMPED");
    expect(clamped).toHaveLength(1);
    const dates = clamped[0]!.message.match(/\d{4}-\d\d-\d\dT[\d:.]+Z/g)!.map((date) => Date.parse(date));
    const { exp } = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as { exp: number };
    expect(dates).toEqual([expect.any(Number), exp * 1000]);
    expect(dates[0]! - before - 3_153_600_000_000).toBeLessThan(10_000);
    expect(await decide(core.url, token)).toMatchObject({ allowed: true });
  });

  test("R1 a core killed with SIGKILL right after its response still has the key", async () => {
    for (let round = 0; round < 3; round++) {
      const dataDir = await temporaryDirectory();
      const first = await startCoreProcess(dataDir, ["--api-key", API_KEY]);
      const token = await mint(first.url, round % 2 === 0);
      await first.kill("SIGKILL");

      const second = await startCoreProcess(dataDir, ["--api-key", API_KEY]);
      expect(await decide(second.url, token)).toMatchObject({ allowed: true });
      await second.kill("SIGKILL");
    }
  });

  test("two cores on one directory sign with the same keys, and each verifies the other's tokens", async () => {
    const dataDir = await temporaryDirectory();
    const [one, two] = await Promise.all([
      startCoreProcess(dataDir, ["--api-key", API_KEY]),
      startCoreProcess(dataDir, ["--api-key", API_KEY]),
    ]);
    for (const useStatic of [true, false]) {
      expect(await decide(two.url, await mint(one.url, useStatic))).toMatchObject({ allowed: true });
      expect(await decide(one.url, await mint(two.url, useStatic))).toMatchObject({ allowed: true });
    }
    const sets = await Promise.all(
      [one, two].map(async ({ url }) =>
        (await fetch(`${url}/recipe/jwt/jwks`, { headers: { "api-key": API_KEY } })).json(),
      ),
    );
    const kids = sets.map((set) =>
      (set as { keys: { kid: string }[] }).keys.filter((key) => key.kid.startsWith("s-")).map((key) => key.kid),
    );
    expect(kids[0]).toHaveLength(1);
    expect(kids[1]).toEqual(kids[0]);
  });
});

test("R18 SIGTERM finishes the requests in flight and exits 0", async () => {
  const core = await startCoreProcess(await temporaryDirectory(), ["--api-key", API_KEY]);
  const body = JSON.stringify({ payload: {}, algorithm: "RS256", jwksDomain: "x", validity: 60 });
  const ask = () =>
    fetch(`${core.url}/recipe/jwt`, { method: "POST", headers: { "api-key": API_KEY }, body }).then(
      (response) => response.status,
      (error: Error) => (error.cause as NodeJS.ErrnoException).code,
    );
  await ask();
  const first = Array.from({ length: 50 }, ask);
  await first[0];
  const exit = core.kill("SIGTERM");
  // Accepted requests get a response. Later ones are refused at the connection, never cut off.
  const outcomes = await Promise.all(first);
  expect(new Set(outcomes)).toEqual(new Set([200]));
  expect((await exit).code).toBe(0);
});

describe("start matrix", () => {
  test("prints only its ready line on stdout; logs are JSON lines on stderr", async () => {
    const core = await startCoreProcess(await temporaryDirectory());
    const { stdout, stderr } = await core.kill("SIGTERM");
    expect(stdout).toBe(`countersign core listening on ${core.url}\n`);
    const lines = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { level: string });
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.every((line) => line.level === "info")).toBe(true);
  });

  test("environment variables are read, and flags override them", async () => {
    const dataDir = await temporaryDirectory();
    const env = {
      COUNTERSIGN_API_KEYS: `${API_KEY},another-key-of-24-chars-`,
      COUNTERSIGN_PORT: "1",
      COUNTERSIGN_DATA_DIR: "/dev/null/x",
    };
    const core = await startCoreProcess(dataDir, [], env);
    for (const [key, status] of [
      [API_KEY, 200],
      ["another-key-of-24-chars-", 200],
      ["wrong", 401],
    ] as const) {
      expect((await fetch(`${core.url}/apiversion`, { headers: { "api-key": key } })).status).toBe(status);
    }
  });

  test.each([
    [
      "S7 a host that others reach, without an API key",
      ["start", "--host", "0.0.0.0"],
      /no API key is configured.*--api-key/,
    ],
    [
      "a port that is none",
      ["start", "--port", "70000"],
      /^countersign: --port: expected a number from 0 to 65535, got "[^"]*"$/m,
    ],
    ["a short API key", ["start", "--api-key", "short-secret"], /--api-key: must have at least 20 characters/],
    [
      "a data directory that cannot be made",
      ["start", "--port", "0", "--data-dir", "/dev/null/countersign"],
      /cannot create the data directory.*--data-dir/,
    ],
    [
      "S6 a database that is not PostgreSQL",
      ["start", "--database", "mysql://core:short-secret@db/keys"],
      /^countersign: --database: expected postgres:\/\/USER:PASSWORD@HOST:PORT\/NAME/m,
    ],
    [
      "S8 PostgreSQL without a master key",
      ["start", "--database", "postgres://core:short-secret@127.0.0.1:1/keys"],
      /^countersign: --database: PostgreSQL requires a master key; .*COUNTERSIGN_MASTER_KEY/m,
    ],
    ["an unknown option", ["start", "--prot", "1"], /unknown option '--prot'[\s\S]*--port/],
    ["an unknown command", ["strat"], /unknown command 'strat'[\s\S]*start/],
  ])("%s: what is wrong and what to do, exit code 1, no stack trace", async (_, flags, words) => {
    const { code, stdout, stderr } = await runCore(flags);
    expect(stderr).toMatch(words);
    expect(stderr).not.toMatch(/\n\s+at |short-secret/);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  test("S6 an unreachable database is an error in one line, with its location and without its password", async () => {
    const { code, stdout, stderr } = await runCore(["start", "--port", "0"], {
      COUNTERSIGN_DATABASE: "postgres://core:short-secret@127.0.0.1:1/keys",
      COUNTERSIGN_MASTER_KEY: Buffer.alloc(32, 7).toString("base64url"),
    });
    expect(stderr).toBe(
      "countersign: cannot use the database 127.0.0.1:1/keys: connection refused; " +
        "check --database (or COUNTERSIGN_DATABASE), and that the server is running\n",
    );
    expect([code, stdout]).toEqual([1, ""]);
  });

  test("several errors are reported together", async () => {
    const { code, stderr } = await runCore(["start", "--port", "x", "--api-key", "a", "--admin-key", "b"], {
      COUNTERSIGN_MASTER_KEY: "c",
    });
    expect(code).toBe(1);
    expect(stderr.trimEnd().split("\n")).toEqual([
      expect.stringContaining("port:"),
      expect.stringContaining("api-key:"),
      expect.stringContaining("admin-key:"),
      expect.stringContaining("COUNTERSIGN_MASTER_KEY:"),
    ]);
  });

  test("a port in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void other.close());
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as AddressInfo;
    const dataDir = await temporaryDirectory();
    const { code, stderr } = await runCore(["start", "--port", String(port), "--data-dir", dataDir]);
    expect(code).toBe(1);
    expect(stderr).toContain(`port ${port} on 127.0.0.1 is in use`);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test.each([
    ["no database at all", () => Buffer.from("these are not the pages you are looking for\n".repeat(200))],
    [
      "a damaged page",
      (intact: Buffer) => Buffer.concat([intact.subarray(0, 4096), Buffer.alloc(4096, 0xa5), intact.subarray(8192)]),
    ],
    ["cut off in the middle", (intact: Buffer) => intact.subarray(0, Math.floor(intact.length / 2) - 100)],
  ])("R3 a corrupt database file (%s) is found at start and not changed", async (_, damage) => {
    const dataDir = await temporaryDirectory();
    const path = join(dataDir, "countersign.db");
    await (await startCoreProcess(dataDir)).kill("SIGTERM");
    await writeFile(path, damage(await readFile(path)));
    const before = await digestOf(path);

    const { code, stderr } = await runCore(["start", "--port", "0", "--data-dir", dataDir]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^countersign: the database \S+ is damaged \(.*\); restore a backup.*\n$/);
    expect(await digestOf(path)).toBe(before);
  });

  test("R3 the core waits for a locked database, then reports it as locked, never as damaged", async () => {
    const dataDir = await temporaryDirectory();
    await (await startCoreProcess(dataDir)).kill("SIGTERM");
    const other = new DatabaseSync(join(dataDir, "countersign.db"));
    other.exec("pragma locking_mode = exclusive; begin exclusive; update core_state set epoch = epoch");
    const began = performance.now();
    const { code, stderr } = await runCore(["start", "--port", "0", "--data-dir", dataDir]);
    other.exec("rollback");
    other.close();
    expect(performance.now() - began).toBeGreaterThan(5_000);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^countersign: cannot use the database \S+: the database was locked for 5 s; check .*\n$/);
  });

  test("another master key is rejected: the error names both keys, and nothing changes", async () => {
    const dataDir = await temporaryDirectory();
    await (await startCoreProcess(dataDir)).kill("SIGTERM");
    const before = await digestOf(join(dataDir, "countersign.db"));
    const other = Buffer.alloc(32, 7).toString("base64url");
    const { code, stderr } = await runCore(["start", "--port", "0", "--data-dir", dataDir], {
      COUNTERSIGN_MASTER_KEY: other,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/encrypted with master key [0-9a-f]{16}, but the configured one is [0-9a-f]{16}/);
    expect(await digestOf(join(dataDir, "countersign.db"))).toBe(before);
  });

  test("S8 no file next to the database contains a private key, and the log contains no secret", async () => {
    const dataDir = await temporaryDirectory();
    const core = await startCoreProcess(dataDir, ["--api-key", API_KEY]);
    const token = await mint(core.url, true);
    await fetch(`${core.url}/recipe/jwt`, { method: "POST", headers: { "api-key": `${API_KEY}x` }, body: token });
    const { stderr } = await core.kill("SIGTERM");
    const database = await readFile(join(dataDir, "countersign.db"));
    // Every PKCS #8 RSA key contains the encoded object identifier of rsaEncryption.
    const rsaEncryption = Buffer.from("06092a864886f70d010101", "hex");
    expect(database.includes(rsaEncryption)).toBe(false);
    expect(database.includes(rsaEncryption.toString("base64").slice(0, 12))).toBe(false);
    expect(database.includes("PRIVATE KEY")).toBe(false);
    expect(stderr).not.toContain(API_KEY);
    expect(stderr).not.toContain(token.split(".")[2]!.slice(0, 40));
  });

  test("--help and --version", async () => {
    const help = await runCore(["start", "--help"]);
    expect(help.code).toBe(0);
    for (const word of ["--port", "--host", "--data-dir", "--api-key", "--admin-key", "COUNTERSIGN_MASTER_KEY"]) {
      expect(help.stdout).toContain(word);
    }
    expect((await runCore(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
