import { randomBytes } from "node:crypto";
import { isLoopbackHost } from "countersign/protocol";
import { hasSqliteStore } from "../../adapters/sqlite/sqlite-store.ts";
import { StartupError } from "../../index.ts";
import { administerStore } from "../../composition/offline.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { PolicyMistake } from "../../ports/policy-text.ts";
import { printError, type CliProcess } from "../process/cli-process.ts";

/** Where a command administers: a core that listens, or a data directory of this machine. */
export interface AdminTarget {
  url?: string;
  dataDir?: string;
}

/** The admin API, over the network or inside this process. */
export interface AdminClient {
  /** @throws AdminError with the core's own words */
  call<T>(method: "GET" | "POST" | "PUT", path: string, body?: object): Promise<T>;
  close(): Promise<void>;
  /** Whether it is this process that administers: no admin key says who does. */
  readonly isLocal: boolean;
}

/** The core said no, or could not be asked; the message is for the person at the terminal. */
export class AdminError extends Error {
  override readonly name = "AdminError";
  /** Where a policy's text is wrong, if that is it. */
  readonly mistakes: readonly PolicyMistake[];

  constructor(message: string, mistakes: readonly PolicyMistake[] = []) {
    super(message);
    this.mistakes = mistakes;
  }
}

/** Runs a command's work against its target, and tells what went wrong in one line. */
export function administer(
  cli: CliProcess,
  target: AdminTarget,
  work: (client: AdminClient) => Promise<void>,
): Promise<void> {
  return tellErrors(cli, async () => {
    const client = await openAdminClient(cli, target);
    try {
      await work(client);
    } finally {
      await client.close();
    }
  });
}

export async function tellErrors(cli: CliProcess, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const told = [AdminError, StartupError, StoreUnavailable].some((kind) => error instanceof kind);
    if (!told) throw error;
    printError(cli, (error as Error).message);
    cli.exitCode = 1;
  }
}

export type LocalTarget = { dataDir: string } | { database: string };

/** For what no core does over the network: the store itself, on this machine or shared (COUNTERSIGN_DATABASE). */
export function localTarget(cli: CliProcess, { url, dataDir }: AdminTarget): LocalTarget {
  if (url !== undefined) throw new AdminError("this is done where the store is: name it with --data-dir, not --url");
  if (dataDir !== undefined) return { dataDir };
  const database = setIn(cli.env, "COUNTERSIGN_DATABASE");
  return database === undefined
    ? { dataDir: setIn(cli.env, "COUNTERSIGN_DATA_DIR") ?? "./.countersign" }
    : { database };
}

async function openAdminClient(cli: CliProcess, target: AdminTarget): Promise<AdminClient> {
  if (target.url !== undefined && target.dataDir !== undefined) {
    throw new AdminError("--url and --data-dir name two cores: give one of them");
  }
  const url = target.dataDir === undefined ? (target.url ?? setIn(cli.env, "COUNTERSIGN_URL")) : undefined;
  return url === undefined ? localClient(cli, localTarget(cli, target)) : remoteClient(cli, url);
}

/** Milliseconds. The longest that a core takes: keys of every algorithm to make, and a lock to wait for. */
const PATIENCE = 30_000;

/** @param patience milliseconds until an answer is given up */
export function remoteClient(cli: CliProcess, url: string, patience = PATIENCE): AdminClient {
  const adminKey = setIn(cli.env, "COUNTERSIGN_ADMIN_KEY");
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw new AdminError("--url: http:// or https:// was expected, such as http://localhost:3567");
  }
  if (adminKey === undefined) throw new AdminError("set COUNTERSIGN_ADMIN_KEY to an admin key of that core");
  const base = url.replace(/\/+$/, "");
  const { protocol, hostname } = new URL(url);
  if (protocol !== "https:" && !isLoopbackHost(hostname)) {
    cli.stderr.write(`countersign: warning: the admin key goes to ${hostname} as plain text; use https\n`);
  }
  return {
    async call<T>(method: string, path: string, body?: object): Promise<T> {
      try {
        const send = (request: Request) => fetch(request, { signal: AbortSignal.timeout(patience) });
        return await exchange<T>(send, base, adminKey, method, path, body);
      } catch (error) {
        if (error instanceof AdminError) throw error;
        if ((error as Error).name === "TimeoutError") {
          throw new AdminError(`${base} has not answered in ${patience / 1000} s; what was asked may be done or not`);
        }
        const { cause, message } = error as Error;
        throw new AdminError(`${base} cannot be reached: ${cause instanceof Error ? cause.message : message}`);
      }
    },
    close: async () => {},
    isLocal: false,
  };
}

/** The same interface as over the network, so that both ways of administering do the same. */
async function localClient(cli: CliProcess, target: LocalTarget): Promise<AdminClient> {
  if ("dataDir" in target && !hasSqliteStore(target.dataDir)) {
    throw new AdminError(
      `there is no database in ${target.dataDir}: name its directory with --data-dir, or a core with --url`,
    );
  }
  const adminKey = randomBytes(32).toString("base64url");
  const core = await administerStore(target, adminKey, cli.env);
  return {
    call: (method, path, body) =>
      exchange((request) => core.fetch(request), "http://countersign-core.invalid", adminKey, method, path, body),
    close: () => core.close(),
    isLocal: true,
  };
}

async function exchange<T>(
  send: (request: Request) => Promise<Response>,
  base: string,
  adminKey: string,
  method: string,
  path: string,
  body: object | undefined,
): Promise<T> {
  const init: RequestInit = { method, headers: { authorization: `Bearer ${adminKey}` }, redirect: "error" };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await send(new Request(`${base}/admin/v1${path}`, init));
  const text = await response.text();
  if (response.status === 200) return JSON.parse(text) as T;
  const { message = `the core answered with status ${response.status}`, mistakes } = errorIn(text);
  throw new AdminError(message, mistakes);
}

function errorIn(text: string): { message?: string; mistakes?: readonly PolicyMistake[] } {
  try {
    return (JSON.parse(text) as { error?: object }).error ?? {};
  } catch {
    return {};
  }
}

function setIn(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === "" ? undefined : value;
}
