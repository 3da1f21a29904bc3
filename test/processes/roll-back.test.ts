// R14: a roll-back after the next version changed the schema. Only the schema changes stand for the next version.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { createVerifier } from "countersign";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { itOnPostgres, sharedPostgres } from "../../packages/core/test/support/postgres.ts";
import { COUNTERSIGN_BIN, Process, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

const ADMIN_KEY = "admin-key-of-the-tests-01";
// A new key every four seconds, so that both before and after the roll-back the core creates some.
const ROTATION = { lead: 3, period: 4, hold: 60, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };

interface Place {
  readonly dataDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** Runs statements of the next version in one transaction. */
  run(statements: readonly string[]): Promise<void>;
}

async function onSqlite(): Promise<Place> {
  const dataDir = await temporaryDirectory();
  return {
    dataDir,
    env: {},
    async run(statements) {
      const database = new DatabaseSync(join(dataDir, "countersign.db"));
      database.exec(["pragma busy_timeout = 5000", "begin immediate", ...statements, "commit"].join(";"));
      database.close();
    },
  };
}

async function onPostgres(): Promise<Place> {
  const server = await sharedPostgres();
  const database = await server.newDatabase();
  const env = { COUNTERSIGN_DATABASE: database, COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url") };
  return {
    dataDir: await temporaryDirectory(),
    env,
    run: async (statements) => void (await server.query(database, ["begin", ...statements, "commit"].join(";"))),
  };
}

async function mint(url: string, useStaticSigningKey: boolean): Promise<string> {
  const payload = { sub: "orders", source: "microservice" };
  const body = { payload, algorithm: "RS256", jwksDomain: "https://a.test", validity: 50, useStaticSigningKey };
  const response = await fetch(`${url}/recipe/jwt`, { method: "POST", body: JSON.stringify(body) });
  return ((await response.json()) as { jwt: string }).jwt;
}

async function refusalsOf(url: string, tokens: readonly string[]): Promise<string[]> {
  const verifier = createVerifier({ jwksUri: `${url}/.well-known/jwks.json` });
  onTestFinished(() => verifier.close());
  const decisions = await Promise.all(tokens.map((token) => verifier.verify(token)));
  return decisions.flatMap((decision) => (decision.allowed ? [] : [decision.reason]));
}

async function revoke(url: string, service: string): Promise<number> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const init = { method: "POST", headers, body: JSON.stringify({ service }) };
  return (await fetch(`${url}/admin/v1/apps/public/revocations/services`, init)).status;
}

const dynamicKids = async (url: string) => {
  const document = (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] };
  return document.keys.map((key) => key.kid).filter((kid) => kid.startsWith("d-"));
};

describe.each([
  ["SQLite", test, onSqlite],
  ["PostgreSQL", itOnPostgres, onPostgres],
] as const)("on %s", (_, itHere, open) => {
  itHere(
    "R14 this version runs with the next one's additions, and starts on them after a roll-back: no token fails, keys are created",
    async () => {
      const place = await open();
      const settings = { COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY, COUNTERSIGN_ROTATION: JSON.stringify(ROTATION) };
      const env = { ...settings, ...place.env };
      const before = await startCoreProcess(place.dataDir, [], env);
      const tokens = [await mint(before.url, true), await mint(before.url, false)];

      await place.run([
        "create table of_the_next_version (id integer primary key)",
        "alter table signing_keys add column of_the_next_version text",
        "alter table apps add column of_the_next_version integer not null default 7",
        "insert into countersign_migration (name, timestamp) values ('9999_next_expand', '2030-01-01')",
      ]);
      const known = new Set(await dynamicKids(before.url));
      const madeAnother = async (url: string) =>
        vi.waitFor(async () => expect((await dynamicKids(url)).some((kid) => !known.has(kid))).toBe(true), {
          timeout: 10_000,
        });
      await madeAnother(before.url);
      tokens.push(await mint(before.url, true), await mint(before.url, false));
      expect(await revoke(before.url, "intruder")).toBe(200);
      expect((await before.kill("SIGTERM")).stderr).not.toContain('"level":"error"');

      const after = await startCoreProcess(place.dataDir, [], env);
      tokens.push(await mint(after.url, true), await mint(after.url, false));
      expect(await refusalsOf(after.url, tokens)).toEqual([]);
      for (const kid of await dynamicKids(after.url)) known.add(kid);
      await madeAnother(after.url);
      expect(await revoke(after.url, "another")).toBe(200);
      expect((await after.kill("SIGTERM")).stderr).not.toContain('"level":"error"');

      // A migration that removes something comes a release later, and cannot be rolled back.
      await place.run([
        "insert into countersign_migration (name, timestamp) values ('9999_next_contract', '2031-01-01')",
      ]);
      const where = place.env["COUNTERSIGN_DATABASE"] === undefined ? ["--data-dir", place.dataDir] : [];
      const { code, stderr } = await new Process([COUNTERSIGN_BIN, "start", "--port", "0", ...where], env).ended;
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/schema version "9999_next_contract".*newer countersign-core/),
      ]);
    },
    60_000,
  );
});
