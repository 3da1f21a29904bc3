// The second composition root: what is done to a store by hand, without a core that serves.
import { randomBytes } from "node:crypto";
import { masterKeyIdOf } from "../adapters/vault/envelope-vault.ts";
import { masterKeyPath, readMasterKeys, writeMasterKeys } from "../adapters/vault/master-key.ts";
import { openStore } from "./open-store.ts";
import { foreignTo, openVault, openVaultFor } from "../adapters/vault/open-vault.ts";
import { hasSqliteStore } from "../adapters/sqlite/sqlite-store.ts";
import { resolveConfig, storeSettingsIn, type CoreConfig, type CoreOptions } from "../config/config.ts";
import { composeCore } from "./compose-core.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { Store } from "../ports/store.ts";
import { StartupError } from "../ports/startup-error.ts";
import type { Backup } from "../use-cases/backup/backup.ts";
import type { Log } from "../ports/log.ts";
import type { ChangeResult } from "../domain/change-result.ts";
import { createResealKeys, type Resealed } from "../use-cases/keys/reseal-keys.ts";
import { createRestore, type Restored } from "../use-cases/backup/restore.ts";

export type MaintenanceOptions = Pick<CoreOptions, "dataDir" | "database" | "rotation">;

/**
 * The admin API on a store, whether or not a core runs on it. Windows and algorithms are those of the cores on it, so that
 * a shell which knows nothing of them makes no key by its own.
 *
 * @throws StartupError
 */
export async function administerStore(
  options: Pick<CoreOptions, "dataDir" | "database">,
  adminKey: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<{ fetch(request: Request): Promise<Response>; close(): Promise<void> }> {
  // Nothing else of the shell counts, so that no mistake in it keeps anybody from revoking.
  const { COUNTERSIGN_MASTER_KEY, COUNTERSIGN_MASTER_KEY_FILE } = environment;
  const config = resolveConfig(
    { ...options, apiKeys: [], adminKeys: [adminKey] },
    { COUNTERSIGN_MASTER_KEY, COUNTERSIGN_MASTER_KEY_FILE },
  );
  const core = await composeCore(config, {}, "administer");
  return { fetch: (request) => core.http.fetch(request), close: () => core.close() };
}

/** The file of an embedded store's master keys, which can be renewed. */
interface MasterKeyFile {
  readonly config: CoreConfig;
  readonly path: string;
}

/** @throws StartupError where the master key is somebody else's to change, or there is no store */
function masterKeyFileOf(options: MaintenanceOptions, environment: NodeJS.ProcessEnv): MasterKeyFile {
  const config = configOf(options, environment);
  if (config.masterKeys !== undefined) {
    throw new StartupError(
      "the master key is in COUNTERSIGN_MASTER_KEY: put a new one first there, before the old one and a comma, start " +
        "every instance again, and then reseal without --new-master-key",
    );
  }
  if (config.masterKeyFile !== undefined) {
    throw new StartupError(
      `the master key is in ${config.masterKeyFile}: put a new one in a line before the old one there, for every ` +
        "instance, and then reseal without --new-master-key",
    );
  }
  if (!hasSqliteStore(config.dataDir)) {
    throw new StartupError(`there is no database in ${config.dataDir}: name its directory with --data-dir`);
  }
  return { config, path: masterKeyPath(config.dataDir) };
}

/**
 * The master keys that renewing would forget.
 *
 * @throws StartupError where they cannot be renewed
 */
export async function masterKeysToForget(
  options: MaintenanceOptions,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<readonly string[]> {
  const { path } = masterKeyFileOf(options, environment);
  const keys = await readMasterKeys(path);
  if (keys === undefined) throw new StartupError(`the master key ${path} is missing: put that file back`);
  return keys.map(masterKeyIdOf);
}

/**
 * Makes a new master key beside an embedded database, seals every key under it, and forgets the old one. The file has
 * both for as long as a key may need the old one, so it can end at any point. The store's lock is held whenever the
 * file is written: it keeps two of these apart, and running cores from storing a key that was sealed before.
 *
 * @param keepOld a new file for what is forgotten here: backups that were made until now need it
 * @throws StartupError
 */
export async function renewMasterKey(
  options: MaintenanceOptions,
  keepOld: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<ChangeResult<Resealed>> {
  const { config, path } = masterKeyFileOf(options, environment);
  return withStore(config, async (store) => {
    const vault = await openVault(async () => (await store.readSnapshot()).keys.map((key) => key.masterKeyId), config);
    const readKeys = async () => (await readMasterKeys(path))!;
    await store.write(async () => {
      const old = await readKeys();
      if (keepOld !== undefined) await writeMasterKeys(keepOld, old, false);
      await writeMasterKeys(path, [randomBytes(32), ...old]);
    });
    const resealed = await createResealKeys(store, vault)();
    if (!resealed.ok) return resealed;
    await store.write(async (writer) => {
      const needed = new Set<string>();
      for (const { appId } of await writer.apps.list()) {
        for (const key of await writer.keys.listIn(appId)) needed.add(key.masterKeyId);
      }
      const [current, ...others] = await readKeys();
      await writeMasterKeys(path, [current!, ...others.filter((key) => needed.has(masterKeyIdOf(key)))]);
    });
    return resealed;
  });
}

/**
 * Puts a backup into a store.
 *
 * @param force whether what the store has is replaced
 * @throws StartupError, also where the backup's keys need another master key; nothing is changed then
 */
export async function restoreBackup(
  backup: Backup,
  force: boolean,
  options: MaintenanceOptions,
  log: Log,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<ChangeResult<Restored>> {
  const config = configOf(options, environment);
  const vault = await openVaultFor(
    backup.keys.map((key) => key.masterKeyId),
    config,
  );
  refuseForeign(vault, backup);
  return withStore(config, (store) => createRestore(store, log)(backup, force));
}

function refuseForeign(vault: KeyVault, backup: Backup): void {
  const foreign = foreignTo(
    vault,
    backup.keys.map((key) => key.masterKeyId),
  );
  if (foreign === undefined) return;
  throw new StartupError(
    `the backup's keys are sealed under master key ${foreign}, and the configured one is ${vault.masterKeyId}: ` +
      "add the former to COUNTERSIGN_MASTER_KEY after a comma, or to the master key's file as another line",
  );
}

/** What a listening core would need beyond a store is not asked for. */
function configOf(options: MaintenanceOptions, environment: NodeJS.ProcessEnv): CoreConfig {
  return resolveConfig({ ...options, apiKeys: [] }, storeSettingsIn(environment));
}

async function withStore<T>(config: CoreConfig, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore({ ...config, now: Date.now });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
