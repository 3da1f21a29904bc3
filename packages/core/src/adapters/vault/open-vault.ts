import { stat } from "node:fs/promises";
import type { KeyVault } from "../../ports/key-vault.ts";
import { StartupError } from "../../ports/startup-error.ts";
import type { Log } from "../../ports/log.ts";
import { createEnvelopeVault } from "./envelope-vault.ts";
import { loadOrCreateMasterKeys, masterKeyPath, readMasterKeys } from "./master-key.ts";

export interface VaultOptions {
  /** The first encrypts, all decrypt; undefined: read them from a file. */
  readonly masterKeys: readonly Uint8Array[] | undefined;
  /** The file; undefined: the one in the data directory, which is created if no stored key needs another. */
  readonly masterKeyFile: string | undefined;
  readonly dataDir: string;
}

/** Reads the IDs of the master keys that stored keys are encrypted with. */
export type ReadMasterKeyIds = () => Promise<readonly string[]>;

/**
 * Opens the vault for all stored keys.
 *
 * @throws StartupError before anything is written, if a stored key needs another master key
 */
export async function openVault(readIds: ReadMasterKeyIds, options: VaultOptions, log?: Log): Promise<KeyVault> {
  const vault = await openVaultFor(await readIds(), options, log);
  await checkVault(vault, readIds);
  return vault;
}

/** @throws StartupError if a stored key needs a master key that the vault does not have */
export async function checkVault(vault: KeyVault, readIds: ReadMasterKeyIds): Promise<void> {
  let foreign = foreignTo(vault, await readIds());
  if (foreign !== undefined) {
    // Another process might have changed the master key between our two reads.
    await vault.reload();
    foreign = foreignTo(vault, await readIds());
  }
  if (foreign === undefined) return;
  throw new StartupError(
    `stored keys are encrypted with master key ${foreign}, but the configured one is ${vault.masterKeyId}; ` +
      `set COUNTERSIGN_MASTER_KEY to the key ${foreign}, or put its file back`,
  );
}

/** @param ids the master keys that stored keys need; unless empty, a missing file is not created */
export async function openVaultFor(ids: readonly string[], options: VaultOptions, log?: Log): Promise<KeyVault> {
  const { masterKeys, masterKeyFile, dataDir } = options;
  if (masterKeys !== undefined) return createEnvelopeVault(masterKeys);
  const path = masterKeyFile ?? masterKeyPath(dataDir);
  const readKeys = async () => {
    const found = await readMasterKeys(path);
    if (found === undefined) throw new StartupError(`the master key ${path} is missing; put the file back`);
    return found;
  };
  if (masterKeyFile !== undefined) return createEnvelopeVault(await readKeys(), readKeys);
  const keys = await loadOrCreateMasterKeys(dataDir, ids[0]);
  if (log !== undefined && (await isOpenToOthers(path))) {
    const hint = "run chmod 600, and consider 'countersign keys reseal --new-master-key'";
    log.warn({ path, hint }, "master key file is readable by other users");
  }
  return createEnvelopeVault(keys, readKeys);
}

/** Only for our own file: orchestrators mount secrets with various modes. */
async function isOpenToOthers(path: string): Promise<boolean> {
  return process.platform !== "win32" && ((await stat(path)).mode & 0o077) !== 0;
}

/** Returns the first needed master key that the vault does not have. */
export function foreignTo(vault: KeyVault, ids: readonly string[]): string | undefined {
  return ids.find((id) => !vault.has(id));
}
