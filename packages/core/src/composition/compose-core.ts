// Creates a core and connects its parts.
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { createPlatformKeys } from "../adapters/platforms/platform-keys.ts";
import { readPolicyYaml } from "../adapters/policy/policy-yaml.ts";
import { checkVault, openVault, type ReadMasterKeyIds } from "../adapters/vault/open-vault.ts";
import type { CoreConfig } from "../config/config.ts";
import { DEFAULT_APP } from "../domain/apps/app.ts";
import { problemsOfStoredKeys } from "../domain/keys/rotation.ts";
import { createFailedAuthenticationLimit } from "../http/limits/failed-authentication-limit.ts";
import type { UseCases } from "../http/request/use-cases.ts";
import { createHttpInterface, type HttpInterface } from "../http/server/server.ts";
import { createOutageLog } from "../http/telemetry/outage-log.ts";
import type { CoreClock } from "../ports/clock.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { Log } from "../ports/log.ts";
import { reasonOf, StartupError } from "../ports/startup-error.ts";
import { InstanceState } from "../state/instance-state.ts";
import { StoreClock } from "../state/store-clock.ts";
import { IssuerUrls } from "../use-cases/apps/issuer-urls.ts";
import { createManageApps } from "../use-cases/apps/manage-apps.ts";
import { createAuthenticateClient } from "../use-cases/authentication/authenticate-client.ts";
import { createAuthenticate } from "../use-cases/authentication/authenticate.ts";
import { createCredentialUses } from "../use-cases/authentication/credential-uses.ts";
import { createReplayGuard } from "../use-cases/authentication/replay-guard.ts";
import { startBackgroundJobs } from "../use-cases/background/background-jobs.ts";
import { createTakeBackup } from "../use-cases/backup/backup.ts";
import { createNoticeRestore } from "../use-cases/backup/restore.ts";
import { createManageKeys } from "../use-cases/keys/manage-keys.ts";
import { createPreloadKeys } from "../use-cases/keys/preload-keys.ts";
import { createResealKeys } from "../use-cases/keys/reseal-keys.ts";
import { createRotateKeys } from "../use-cases/keys/rotate-keys.ts";
import { createManagePolicy } from "../use-cases/policy/manage-policy.ts";
import { createPolicyReports } from "../use-cases/policy/policy-reports.ts";
import { createPublishFeed } from "../use-cases/revocation/publish-feed.ts";
import { createRevoke } from "../use-cases/revocation/revoke.ts";
import { createManageClients } from "../use-cases/services/manage-clients.ts";
import { createManageServices } from "../use-cases/services/manage-services.ts";
import { createIntrospect } from "../use-cases/tokens/introspect.ts";
import { createIssueServiceToken } from "../use-cases/tokens/issue-service-token.ts";
import { createIssueToken } from "../use-cases/tokens/issue-token.ts";
import { openStore } from "./open-store.ts";

export interface Surroundings {
  /** Default: no logging. */
  log?: Log | undefined;
  environment?: NodeJS.ProcessEnv | undefined;
  clock?: CoreClock | undefined;
  /** Encrypts private keys in place of a configured master key, for example with a key management service. */
  vault?: KeyVault | undefined;
}

export interface ComposedCore {
  readonly http: HttpInterface;
  /** Sets the URL that the core listens at; it becomes the OAuth issuer if no public URL is configured. */
  listensAt(url: string): void;
  /** Stops background jobs; the core still serves requests. */
  stopUpkeep(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the store and the vault, and creates a core on them.
 *
 * @param purpose `administer` starts no background jobs, generates no keys unless asked to, and uses the stored rotation
 * settings of the running cores
 * @throws StartupError
 */
export async function composeCore(
  config: CoreConfig,
  surroundings: Surroundings,
  purpose: "serve" | "administer",
): Promise<ComposedCore> {
  const { log = SILENT, clock = SYSTEM_CLOCK } = surroundings;
  const vaultFor = async (readIds: ReadMasterKeyIds) => {
    if (surroundings.vault === undefined) return openVault(readIds, config, log);
    await checkVault(surroundings.vault, readIds);
    return surroundings.vault;
  };
  // Check the master key before the schema changes, so that a failed upgrade can go back to the previous version.
  const beforeMigration = async (readIds: ReadMasterKeyIds) => void (await vaultFor(readIds));
  const store = await openStore({ ...config, now: clock.now, beforeMigration });
  try {
    const vault = await vaultFor(async () => (await store.readSnapshot()).keys.map((key) => key.masterKeyId));
    const { rotation: stored } = await store.readSnapshot();
    const rotation = purpose === "administer" && stored !== undefined ? stored : config.rotation;
    const state = new InstanceState(store, vault, new StoreClock(clock.monotonic), rotation);
    await state.refresh();
    const rotateKeys = createRotateKeys({ store, vault, state, log });
    const uses = createCredentialUses(store, clock.monotonic);
    const policyReports = createPolicyReports(store, state, clock.monotonic);
    const assertions = createReplayGuard(store, clock.monotonic);
    let upkeep: { stop(): Promise<void> } | undefined;
    if (purpose === "serve") {
      checkStoredKeys(state);
      if (JSON.stringify(stored) !== JSON.stringify(rotation))
        await store.write((writer) => writer.setRotation(rotation));
      await rotateKeys.provisionApp(DEFAULT_APP);
      const noticeRestore = createNoticeRestore(store, state, log);
      const preloadKeys = createPreloadKeys(state, vault, log);
      const parts = {
        store,
        state,
        rotateKeys,
        noticeRestore,
        preloadKeys,
        uses,
        reports: policyReports,
        assertions,
        log,
      };
      upkeep = startBackgroundJobs(parts, rotation.instanceRefresh);
    }
    const issueToken = createIssueToken(state, config.maxRingAge);
    const authenticate = createAuthenticate(config, state, uses);
    const issuerUrls = new IssuerUrls(config.publicUrl);
    const platformKeys = createPlatformKeys();
    const services: UseCases = {
      config,
      store,
      state,
      authenticate,
      failedAuthenticationLimit: createFailedAuthenticationLimit(clock.monotonic, log),
      issueToken,
      issueServiceToken: createIssueServiceToken(state, issueToken, policyReports),
      manageApps: createManageApps(store, state, rotateKeys),
      manageKeys: createManageKeys(state, rotateKeys, vault),
      manageServices: createManageServices(store, state, uses),
      revoke: createRevoke(store, state, pause),
      resealKeys: createResealKeys(store, vault),
      takeBackup: createTakeBackup(store),
      publishFeed: createPublishFeed(state),
      managePolicy: createManagePolicy({
        store,
        state,
        reports: policyReports,
        readText: readPolicyYaml,
        registeredIn: (appId) => state.servicesOf(appId)?.names() ?? new Set(),
      }),
      policyReports,
      issuerUrls,
      introspect: createIntrospect(state, config.maxRingAge),
      manageClients: createManageClients(store, state, platformKeys),
      authenticateClient: createAuthenticateClient({ authenticate, assertions, state, issuerUrls, platformKeys }),
      outages: createOutageLog(log, clock.monotonic),
      version: VERSION,
    };
    const http = createHttpInterface(services);
    return {
      http,
      listensAt: (url) => issuerUrls.listensAt(url),
      stopUpkeep: async () => upkeep?.stop(),
      async close() {
        await upkeep?.stop();
        platformKeys.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close().catch(() => {}); // report the first error
    if (error instanceof StartupError) throw error;
    throw new StartupError(`cannot start the core: ${reasonOf(error)}`, { cause: error });
  }
}

/** Checks the rotation settings against the stored keys, in addition to the checks of the configuration. */
function checkStoredKeys(state: InstanceState): void {
  const problems = state.appIds().flatMap((appId) => {
    const found = problemsOfStoredKeys(state.keysOf(appId), state.rotationPolicyOf(appId), state.now());
    return found.map((problem) => `rotation: app ${appId}: ${problem}`);
  });
  if (problems.length > 0) throw new StartupError(problems.join("\n"));
}

const SILENT: Log = { info() {}, warn() {}, error() {} };
const SYSTEM_CLOCK: CoreClock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The version of this package, resolved by name because the source and the build are at different depths. */
export const VERSION: string = (createRequire(import.meta.url)("countersign-core/package.json") as { version: string })
  .version;
