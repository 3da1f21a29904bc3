// The composition root: the one place that knows every part.
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import type { KeyVault } from "./ports/key-vault.ts";
import { openStore } from "./adapters/open-store.ts";
import { checkVault, openVault, type ReadMasterKeyIds } from "./adapters/open-vault.ts";
import { resolveConfig, storeSettingsIn, type CoreConfig, type CoreOptions } from "./config.ts";
import { DEFAULT_APP } from "./domain/app.ts";
import { problemsOfStoredKeys } from "./domain/rotation.ts";
import type { Services } from "./http/environment.ts";
import { listen } from "./http/listen.ts";
import { createHttpInterface } from "./http/server.ts";
import { reasonOf, StartupError } from "./startup-error.ts";
import { createAuthenticate } from "./use-cases/authenticate.ts";
import { createTakeBackup } from "./use-cases/backup.ts";
import { createIssueToken } from "./use-cases/issue-token.ts";
import { KeyRing } from "./use-cases/key-ring.ts";
import type { Log } from "./use-cases/log.ts";
import { createManageApps } from "./use-cases/manage-apps.ts";
import { createManageKeys } from "./use-cases/manage-keys.ts";
import { createOpenAhead } from "./use-cases/open-ahead.ts";
import { createPublishFeed } from "./use-cases/publish-feed.ts";
import { createResealKeys } from "./use-cases/reseal-keys.ts";
import { createNoticeRestore } from "./use-cases/restore.ts";
import { createRevoke } from "./use-cases/revoke.ts";
import { createRotateKeys } from "./use-cases/rotate-keys.ts";
import { StoreClock } from "./use-cases/store-clock.ts";
import { keepUpToDate } from "./use-cases/upkeep.ts";

export type { CoreOptions } from "./config.ts";
export type { RotationPolicy } from "./domain/rotation.ts";
export type { KeyVault, SealContext, Sealed } from "./ports/key-vault.ts";
export type { Log } from "./use-cases/log.ts";
export { StartupError } from "./startup-error.ts";

/** Time as the core sees it; tests bring their own. */
export interface CoreClock {
  /** The clock of an embedded store, milliseconds since the epoch; PostgreSQL has its own. */
  now(): number;
  /** Milliseconds since some start, never going back. */
  monotonic(): number;
}

export interface Surroundings {
  /** Default: nothing is logged. */
  log?: Log | undefined;
  environment?: NodeJS.ProcessEnv | undefined;
  clock?: CoreClock | undefined;
  /** Seals private keys instead of a configured master key, such as a key management service. */
  vault?: KeyVault | undefined;
}

/** A core inside this process, without a socket. */
export interface EmbeddedCore {
  /** Answers a request of the driver interface, or of whoever reads the key set. */
  fetch(request: Request): Promise<Response>;
  close(): Promise<void>;
}

/** A core that listens. */
export interface RunningCore extends EmbeddedCore {
  /** `http://HOST:PORT` */
  readonly url: string;
}

/** How long requests in flight may take to finish when the core is closed. Milliseconds. */
const CLOSING_PATIENCE = 8_000;

/**
 * Starts a core that listens.
 *
 * @throws StartupError, whose message says what is wrong and what to do
 * @example
 * const core = await startCore({ port: 0, dataDir: "./core", apiKeys: [process.env.CORE_API_KEY!] });
 * console.log(core.url);
 */
export async function startCore(options: CoreOptions = {}, surroundings: Surroundings = {}): Promise<RunningCore> {
  const config = resolveConfig(options, surroundings.environment ?? process.env, surroundings.vault !== undefined);
  const core = await openCore(config, surroundings);
  try {
    const server = await listen(core.fetch, config.host, config.port);
    return Object.freeze({
      fetch: async (request: Request) => core.fetch(request, {}),
      url: server.url,
      async close() {
        await Promise.all([server.close(CLOSING_PATIENCE), core.stopUpkeep()]); // either may take long
        await core.close();
      },
    });
  } catch (error) {
    await core.close();
    throw error;
  }
}

/**
 * Runs a core inside this process, on an embedded store unless a database is given. Several processes may share either.
 * Whoever holds the returned object may ask for any token, so it takes no API keys.
 *
 * @throws StartupError, whose message says what is wrong and what to do
 */
export async function embedCore(
  options: Pick<CoreOptions, "dataDir" | "database" | "adminKeys" | "rotation" | "maxRingAge"> = {},
  surroundings: Surroundings = {},
): Promise<EmbeddedCore> {
  const environment = surroundings.environment ?? process.env;
  const config = resolveConfig(
    { ...options, apiKeys: [] },
    storeSettingsIn(environment), // the other variables are a listening core's
    surroundings.vault !== undefined,
  );
  const core = await openCore(config, surroundings);
  return Object.freeze({
    // There is no network to guard against in here: the request's host is whatever the caller wrote.
    fetch: async (request: Request) => core.fetch(request, {}),
    close: () => core.close(),
  });
}

interface OpenCore {
  fetch(request: Request, env: object): Response | Promise<Response>;
  /** What it does by itself ends, and requests are still answered. */
  stopUpkeep(): Promise<void>;
  close(): Promise<void>;
}

async function openCore(config: CoreConfig, surroundings: Surroundings): Promise<OpenCore> {
  const { log = SILENT, clock = SYSTEM_CLOCK } = surroundings;
  const vaultFor = async (readIds: ReadMasterKeyIds) => {
    if (surroundings.vault === undefined) return openVault(readIds, config, log);
    await checkVault(surroundings.vault, readIds);
    return surroundings.vault;
  };
  // Before the schema is changed: whoever starts it with the wrong master key can go back to the version before.
  const beforeMigration = async (readIds: ReadMasterKeyIds) => void (await vaultFor(readIds));
  const store = await openStore({ ...config, now: clock.now, beforeMigration });
  try {
    const vault = await vaultFor(async () => (await store.readSnapshot()).keys.map((key) => key.masterKeyId));
    const keyRing = new KeyRing(store, vault, new StoreClock(clock.monotonic), config.rotation);
    await keyRing.refresh();
    checkStoredKeys(keyRing);
    const rotateKeys = createRotateKeys({ store, vault, keyRing, log });
    await rotateKeys.provisionApp(DEFAULT_APP);
    const noticeRestore = createNoticeRestore(store, keyRing, log);
    const openAhead = createOpenAhead(keyRing, vault, log);
    const upkeep = keepUpToDate(
      { store, keyRing, rotateKeys, noticeRestore, openAhead, log },
      config.rotation.instanceRefresh,
    );
    const services: Services = {
      config,
      store,
      keyRing,
      authenticate: createAuthenticate(config.apiKeys, config.adminKeys),
      issueToken: createIssueToken(keyRing, config.maxRingAge),
      manageApps: createManageApps(store, keyRing, rotateKeys),
      manageKeys: createManageKeys(keyRing, rotateKeys, vault),
      revoke: createRevoke(store, keyRing),
      resealKeys: createResealKeys(store, vault),
      takeBackup: createTakeBackup(store),
      publishFeed: createPublishFeed(keyRing),
      log,
      version: VERSION,
    };
    const http = createHttpInterface(services);
    return {
      fetch: http.fetch,
      stopUpkeep: () => upkeep.stop(),
      async close() {
        await upkeep.stop();
        await store.close();
      },
    };
  } catch (error) {
    await store.close().catch(() => {}); // what came first is what matters
    if (error instanceof StartupError) throw error;
    throw new StartupError(`the core could not start: ${reasonOf(error)}`, { cause: error });
  }
}

/** A policy that is possible by itself may not be with the keys that are there. */
function checkStoredKeys(keyRing: KeyRing): void {
  const problems = keyRing.appIds().flatMap((appId) => {
    const found = problemsOfStoredKeys(keyRing.keysOf(appId), keyRing.policyOf(appId), keyRing.now());
    return found.map((problem) => `rotation: app ${appId}: ${problem}`);
  });
  if (problems.length > 0) throw new StartupError(problems.join("\n"));
}

const SILENT: Log = { info() {}, warn() {}, error() {} };
const SYSTEM_CLOCK: CoreClock = { now: () => Date.now(), monotonic: () => performance.now() };

/** This package's version, as its package.json says. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }
).version;
