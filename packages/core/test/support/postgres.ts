// Databases for tests, on one PostgreSQL server that all files of a run share.
import { randomBytes } from "node:crypto";
import pg from "pg";
import { afterAll, inject, it } from "vitest";
import { startServer } from "./postgres-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** URL that starts the shared server on the first request, and responds with its URL. See test/support/global-setup.ts. */
    postgresStarter: string;
  }
}

export interface PostgresServer {
  readonly port: number;
  readonly host: string;
  /** The URL of a new, empty database. */
  newDatabase(): Promise<string>;
  /** Runs one statement on a database, outside any core. */
  query<R extends pg.QueryResultRow>(url: string, text: string): Promise<R[]>;
}

/** A server that a test can stop. */
export interface OwnServer extends PostgresServer {
  /** As `pg_ctl stop -m immediate`: cuts every connection without a message and without a clean shutdown. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Starts a hot standby. From then on, this server reports a commit only after the standby has written it to disk. */
  standby(): Promise<PostgresServer>;
}

const VARIABLE = "COUNTERSIGN_TEST_POSTGRES_URL";
const SKIP = "COUNTERSIGN_SKIP_POSTGRES";

/** Skipping takes an explicit decision: a missing server is no reason to pass. */
const skipPostgres = process.env[SKIP] === "1";
const given = process.env[VARIABLE] || undefined;

/** Run when the test file ends, in reverse order. */
const cleanUps: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** For tests that need PostgreSQL. */
export const itOnPostgres = it.skipIf(skipPostgres);
/** For tests that need a server of their own, because they stop it or rely on its access rules. */
export const itOnOwnPostgres = it.skipIf(skipPostgres || given !== undefined);

/** Registers the tests of a file that is only about PostgreSQL. */
export async function describeOnPostgres(tests: (server: PostgresServer) => void): Promise<void> {
  if (skipPostgres) it.skip(`PostgreSQL (${SKIP} is set)`, () => {});
  else tests(await sharedPostgres());
}

let shared: Promise<PostgresServer> | undefined;

/**
 * Returns the server that all test files share. `COUNTERSIGN_TEST_POSTGRES_URL` names a running one instead, on which
 * the user can create databases.
 */
export function sharedPostgres(): Promise<PostgresServer> {
  shared ??= findShared();
  return shared;
}

async function findShared(): Promise<PostgresServer> {
  if (given !== undefined) return serverAt(given, true);
  const response = await fetch(inject("postgresStarter"));
  const text = await response.text();
  if (!response.ok) throw unavailable(text);
  return serverAt(text, true);
}

/** Starts a server for this test file only, and deletes it when the file ends. */
export async function startPostgres(): Promise<OwnServer> {
  const running = await startServer().catch((error: Error) => {
    throw unavailable(error.message);
  });
  cleanUps.push(() => running.close());
  const { stop, start } = running;
  return { ...serverAt(running.url), stop, start, standby: async () => serverAt(await running.standby()) };
}

function unavailable(message: string): Error {
  return new Error(`no PostgreSQL for the tests: ${message}; set ${VARIABLE} to a running server, or ${SKIP}=1`);
}

/** Prints a measurement. Vitest hides what a passing test writes with `console`. */
export function note(text: string): void {
  process.stderr.write(`note: ${text}\n`);
}

function serverAt(url: string, isShared = false): PostgresServer {
  const { hostname, port } = new URL(url);
  const server: PostgresServer = {
    host: hostname,
    port: Number(port || 5432),
    async newDatabase() {
      const name = `test_${randomBytes(6).toString("hex")}`;
      await server.query(url, `create database ${name}`);
      // Not on a server of the file's own, which is deleted as a whole: after a promotion, its commits wait indefinitely.
      if (isShared) cleanUps.push(async () => void (await server.query(url, `drop database ${name} with (force)`)));
      const own = new URL(url);
      own.pathname = `/${name}`;
      return own.href;
    },
    async query<R extends pg.QueryResultRow>(database: string, text: string) {
      const client = new pg.Client({ connectionString: database, connectionTimeoutMillis: 5_000 });
      await client.connect();
      try {
        return (await client.query<R>(text)).rows;
      } finally {
        await client.end();
      }
    },
  };
  return server;
}
