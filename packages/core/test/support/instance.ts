import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll } from "vitest";
import { createEnvelopeVault } from "../../src/adapters/vault/envelope-vault.ts";
import { readPolicyYaml } from "../../src/adapters/policy/policy-yaml.ts";
import { openSqliteStore } from "../../src/adapters/sqlite/sqlite-store.ts";
import { DEFAULT_ROTATION, type RotationPolicy } from "../../src/domain/keys/rotation.ts";
import type { KeyVault } from "../../src/ports/key-vault.ts";
import type { Store } from "../../src/ports/store.ts";
import { createAuthenticate, type Authenticate } from "../../src/use-cases/authentication/authenticate.ts";
import { createCredentialUses, type CredentialUses } from "../../src/use-cases/authentication/credential-uses.ts";
import { createIssueToken, type IssueToken } from "../../src/use-cases/tokens/issue-token.ts";
import { InstanceState } from "../../src/state/instance-state.ts";
import { createManageApps, type ManageApps } from "../../src/use-cases/apps/manage-apps.ts";
import { createManageKeys, type ManageKeys } from "../../src/use-cases/keys/manage-keys.ts";
import { createManageServices, type ManageServices } from "../../src/use-cases/services/manage-services.ts";
import { createManagePolicy, type ManagePolicy } from "../../src/use-cases/policy/manage-policy.ts";
import { createPolicyReports, type PolicyReports } from "../../src/use-cases/policy/policy-reports.ts";
import { createPublishFeed, type PublishFeed } from "../../src/use-cases/revocation/publish-feed.ts";
import { createRevoke, type Revoke } from "../../src/use-cases/revocation/revoke.ts";
import { createRotateKeys, type RotateKeys } from "../../src/use-cases/keys/rotate-keys.ts";
import { StoreClock } from "../../src/state/store-clock.ts";
import { fakeClock, type FakeClock } from "./clock.ts";
import { recordedLog, type RecordedLog } from "./log.ts";
import { tempDir } from "./temp-dir.ts";

/** The parts of a core, without HTTP and without background jobs. */
export interface Instance {
  readonly dataDir: string;
  readonly clock: FakeClock;
  readonly store: Store;
  readonly vault: KeyVault;
  readonly state: InstanceState;
  readonly rotateKeys: RotateKeys;
  readonly issueToken: IssueToken;
  readonly manageKeys: ManageKeys;
  readonly manageApps: ManageApps;
  readonly revoke: Revoke;
  readonly publishFeed: PublishFeed;
  readonly uses: CredentialUses;
  readonly manageServices: ManageServices;
  /** With an API key that no test knows. */
  readonly authenticate: Authenticate;
  readonly reports: PolicyReports;
  readonly managePolicy: ManagePolicy;
  readonly log: RecordedLog;
}

interface InstanceOptions {
  readonly dataDir?: string;
  readonly clock?: FakeClock;
  readonly rotation?: Partial<RotationPolicy>;
  readonly vault?: KeyVault;
  /** Another store than the embedded one in `dataDir`. Closed when the test file ends. */
  readonly openStore?: () => Promise<Store>;
  /** Wraps the real store. */
  readonly storeOf?: (real: Store) => Store;
}

const open = new Set<Store>();
afterAll(async () => {
  for (const store of open) await store.close();
  open.clear();
});

const masterKey = randomBytes(32);

/** Opens an instance on a data directory, which several can share. Default: ES256, whose keys are fast to generate. */
export async function openInstance(options: InstanceOptions = {}): Promise<Instance> {
  const { clock = fakeClock(), vault = createEnvelopeVault([masterKey]), storeOf = (real) => real } = options;
  const dataDir = options.dataDir ?? join(await tempDir(), "data");
  const policy = { ...DEFAULT_ROTATION, algorithms: ["ES256"] as const, ...options.rotation };
  const real = await (options.openStore?.() ?? openSqliteStore({ dataDir, now: clock.now }));
  open.add(real);
  const store = storeOf(real);
  const state = new InstanceState(store, vault, new StoreClock(clock.monotonic), policy);
  const log = recordedLog();
  const rotateKeys = createRotateKeys({ store, vault, state, log });
  const uses = createCredentialUses(store, clock.monotonic);
  const reports = createPolicyReports(store, state, clock.monotonic);
  const registeredIn = (appId: string) => state.servicesOf(appId)?.names() ?? new Set<string>();
  await state.refresh();
  return {
    dataDir,
    clock,
    store,
    vault,
    state,
    rotateKeys,
    log,
    issueToken: createIssueToken(state, 3_600_000),
    manageKeys: createManageKeys(state, rotateKeys, vault),
    manageApps: createManageApps(store, state, rotateKeys),
    revoke: createRevoke(store, state, async (ms) => clock.advance(ms)),
    publishFeed: createPublishFeed(state),
    uses,
    manageServices: createManageServices(store, state, uses),
    authenticate: createAuthenticate({ apiKeys: ["of-no-use-in-the-tests"], adminKeys: [] }, state, uses),
    reports,
    managePolicy: createManagePolicy({ store, state, reports, readText: readPolicyYaml, registeredIn }),
  };
}

/** Opens an instance and creates the default app with its keys. */
export async function startInstance(options: InstanceOptions = {}): Promise<Instance> {
  const instance = await openInstance(options);
  await instance.rotateKeys.provisionApp("public");
  await instance.rotateKeys.rotateAll();
  return instance;
}

/** Advances the clock, and runs what the background jobs would. */
export async function pass(instance: Instance, ms: number): Promise<void> {
  instance.clock.advance(ms);
  await instance.state.refresh();
  await instance.rotateKeys.rotateAll();
}

/** Background jobs that do nothing, for tests of other jobs. */
export const IDLE_UPKEEP = {
  noticeRestore: async () => {},
  preloadKeys: async () => {},
  assertions: { tidy: async () => {} },
};
