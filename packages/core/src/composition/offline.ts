// Operations on a store for the command line, without a running core.
import { randomBytes } from "node:crypto";
import { hasSqliteStore } from "../adapters/sqlite/sqlite-store.ts";
import { masterKeyIdOf } from "../adapters/vault/envelope-vault.ts";
import { masterKeyPath, readMasterKeys, writeMasterKeys } from "../adapters/vault/master-key.ts";
import { foreignTo, openVault, openVaultFor } from "../adapters/vault/open-vault.ts";
import { resolveConfig, storeSettingsIn, type CoreConfig, type CoreOptions } from "../config/config.ts";
import type { ChangeResult } from "../domain/change-result.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { Log } from "../ports/log.ts";
import { StartupError } from "../ports/startup-error.ts";
import type { Store } from "../ports/store.ts";
import type { Backup } from "../use-cases/backup/backup.ts";
import { createRestore, type Restored } from "../use-cases/backup/restore.ts";
import { createResealKeys, type Resealed } from "../use-cases/keys/reseal-keys.ts";
import { composeCore } from "./compose-core.ts";
import { openStore } from "./open-store.ts";

export type MaintenanceOptions = Pick<CoreOptions, "dataDir" | "database" | "rotation">;

/**
 * Opens the admin API on a store, whether or not a core uses it. Uses the rotation settings of the store's cores, because
 * the shell might not have their configuration.
 *
 * @throws StartupError
 */
export async function administerStore(
  options: Pick<CoreOptions, "dataDir" | "database">,
  adminKey: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<{ fetch(request: Request): Promise<Response>; close(): Promise<void> }> {
  // Ignore all other variables: an invalid one must not prevent a revocation.
  const { COUNTERSIGN_MASTER_KEY, COUNTERSIGN_MASTER_KEY_FILE } = environment;
  const config = resolveConfig(
    { ...options, apiKeys: [], adminKeys: [adminKey] },
    { COUNTERSIGN_MASTER_KEY, COUNTERSIGN_MASTER_KEY_FILE },
  );
  const core = await composeCore(config, {}, "administer");
  return { fetch: (request) => core.http.fetch(request), close: () => core.close() };
}

/** The master key file of an embedded store. */
interface MasterKeyFile {
  readonly config: CoreConfig;
  readonly path: string;
}

/** @throws StartupError if the master key is configured elsewhere, or the store does not exist */
function masterKeyFileOf(options: MaintenanceOptions, environment: NodeJS.ProcessEnv): MasterKeyFile {
  const config = configOf(options, environment);
  if (config.masterKeys !== undefined) {
    throw new StartupError(
      "the master key is in COUNTERSIGN_MASTER_KEY; set it to NEW,OLD, restart every instance, " +
        "then run 'countersign keys reseal' without --new-master-key",
    );
  }
  if (config.masterKeyFile !== undefined) {
    throw new StartupError(
      `the master key is in ${config.masterKeyFile}; on every instance, insert the new key there in a line before the ` +
        "old one, then run 'countersign keys reseal' without --new-master-key",
    );
  }
  if (!hasSqliteStore(config.dataDir)) {
    throw new StartupError(
      `no database found in ${JSON.stringify(config.dataDir)}; set --data-dir to the core's data directory`,
    );
  }
  return { config, path: masterKeyPath(config.dataDir) };
}

/**
 * Returns the IDs of the master keys that `renewMasterKey` would delete.
 *
 * @throws StartupError if the master key cannot be renewed
 */
export async function masterKeysToForget(
  options: MaintenanceOptions,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<readonly string[]> {
  const { path } = masterKeyFileOf(options, environment);
  const keys = await readMasterKeys(path);
  if (keys === undefined) throw new StartupError(`the master key ${path} is missing; put the file back`);
  return keys.map(masterKeyIdOf);
}

/**
 * Generates a new master key for an embedded store, re-encrypts every stored key with it, and deletes the old one. Keeps
 * both in the file while any key needs the old one, so the process can stop at any point. Locks the store while writing
 * the file, so that runs do not overlap and running cores store no key encrypted with a deleted master key.
 *
 * @param keepOld a new file to save the old master keys to; earlier backups need them
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
 * Restores a backup.
 *
 * @param force overwrite a non-empty store
 * @throws StartupError, for example if the backup needs another master key; then the store does not change
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
  rejectForeignBackup(vault, backup);
  return withStore(config, (store) => createRestore(store, log)(backup, force));
}

/** @throws StartupError if the backup needs a master key that the vault does not have */
function rejectForeignBackup(vault: KeyVault, backup: Backup): void {
  const foreign = foreignTo(
    vault,
    backup.keys.map((key) => key.masterKeyId),
  );
  if (foreign === undefined) return;
  throw new StartupError(
    `the backup's keys are encrypted with master key ${foreign}, but the configured one is ${vault.masterKeyId}; ` +
      `append the key ${foreign} to COUNTERSIGN_MASTER_KEY after a comma, or to the master key file in a new line`,
  );
}

/** Resolves the settings of the store only, not those of a listening core. */
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
