import { randomBytes } from "node:crypto";
import { isLoopbackHost } from "countersign/protocol";
import { hasSqliteStore } from "../../adapters/sqlite/sqlite-store.ts";
import { StartupError } from "../../ports/startup-error.ts";
import { administerStore } from "../../composition/offline.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { PolicyMistake } from "../../ports/policy-text.ts";
import { printError, type CliProcess } from "../process/cli-process.ts";
import { quote } from "../process/quote.ts";

/** The core that a command manages: a running core, or a local data directory. */
export interface AdminTarget {
  url?: string;
  dataDir?: string;
}

/** Calls the admin API, over the network or inside this process. */
export interface AdminClient {
  /** @throws AdminError with the core's error message */
  call<T>(method: "GET" | "POST" | "PUT", path: string, body?: object): Promise<T>;
  close(): Promise<void>;
  /** Whether the admin API runs inside this process, so that no admin key identifies the user. */
  readonly isLocal: boolean;
}

/** The core rejected a request or is unavailable. The message is shown to the user. */
export class AdminError extends Error {
  override readonly name = "AdminError";
  /** Errors in the text of a policy, with line and column. */
  readonly mistakes: readonly PolicyMistake[];

  constructor(message: string, mistakes: readonly PolicyMistake[] = []) {
    super(message);
    this.mistakes = mistakes;
  }
}

/** Runs a command against its target, and prints expected errors without a stack trace. */
export function administer(
  cli: CliProcess,
  target: AdminTarget,
  work: (client: AdminClient) => Promise<void>,
): Promise<void> {
  return reportErrors(cli, async () => {
    const client = await openAdminClient(cli, target);
    try {
      await work(client);
    } finally {
      await client.close();
    }
  });
}

/** Prints expected errors without a stack trace and sets exit code 1. Throws unexpected ones on. */
export async function reportErrors(cli: CliProcess, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const isExpected = [AdminError, StartupError, StoreUnavailable].some((kind) => error instanceof kind);
    if (!isExpected) throw error;
    printError(cli, (error as Error).message);
    cli.exitCode = 1;
  }
}

export type LocalTarget = { dataDir: string } | { database: string };

/** Selects a store for commands that need direct access to it. */
export function localTarget(cli: CliProcess, { url, dataDir }: AdminTarget): LocalTarget {
  if (url !== undefined) {
    throw new AdminError(
      "this command needs direct access to the store; use --data-dir or COUNTERSIGN_DATABASE instead of --url",
    );
  }
  if (dataDir !== undefined) return { dataDir };
  const database = setIn(cli.env, "COUNTERSIGN_DATABASE");
  return database === undefined
    ? { dataDir: setIn(cli.env, "COUNTERSIGN_DATA_DIR") ?? "./.countersign" }
    : { database };
}

async function openAdminClient(cli: CliProcess, target: AdminTarget): Promise<AdminClient> {
  if (target.url !== undefined && target.dataDir !== undefined) {
    throw new AdminError("--url and --data-dir cannot be used together");
  }
  const url = target.dataDir === undefined ? (target.url ?? setIn(cli.env, "COUNTERSIGN_URL")) : undefined;
  return url === undefined ? localClient(cli, localTarget(cli, target)) : remoteClient(cli, url);
}

/** Milliseconds. The slowest request waits for a lock and generates keys of every algorithm. */
const TIMEOUT = 30_000;

/** @param timeout milliseconds to wait for a response */
export function remoteClient(cli: CliProcess, url: string, timeout = TIMEOUT): AdminClient {
  const adminKey = setIn(cli.env, "COUNTERSIGN_ADMIN_KEY");
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw new AdminError(`--url: expected an http or https URL such as http://localhost:3567, got ${quote(url)}`);
  }
  if (adminKey === undefined)
    throw new AdminError("COUNTERSIGN_ADMIN_KEY is not set; set it to an admin key of the core");
  const base = url.replace(/\/+$/, "");
  const { protocol, hostname } = new URL(url);
  if (protocol !== "https:" && !isLoopbackHost(hostname)) {
    cli.stderr.write(`countersign: warning: sending the admin key to ${hostname} over plain HTTP; use https\n`);
  }
  return {
    async call<T>(method: string, path: string, body?: object): Promise<T> {
      try {
        const send = (request: Request) => fetch(request, { signal: AbortSignal.timeout(timeout) });
        return await exchange<T>(send, base, adminKey, method, path, body);
      } catch (error) {
        if (error instanceof AdminError) throw error;
        if ((error as Error).name === "TimeoutError") {
          throw new AdminError(
            `no response from ${base} within ${timeout / 1000} s; the operation might have completed, check before you retry`,
          );
        }
        const { cause, message } = error as Error;
        throw new AdminError(`cannot reach ${base}: ${cause instanceof Error ? cause.message : message}`);
      }
    },
    close: async () => {},
    isLocal: false,
  };
}

/** Calls the admin API of a core inside this process, so that local and remote commands behave the same. */
async function localClient(cli: CliProcess, target: LocalTarget): Promise<AdminClient> {
  if ("dataDir" in target && !hasSqliteStore(target.dataDir)) {
    throw new AdminError(
      `no database found in ${quote(target.dataDir)}; set --data-dir to the core's data directory, ` +
        "or --url to a running core",
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
  const { message = `the core responded with status ${response.status}`, mistakes } = errorIn(text);
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
