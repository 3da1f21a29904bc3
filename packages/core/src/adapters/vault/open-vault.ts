import { stat } from "node:fs/promises";
import type { KeyVault } from "../../ports/key-vault.ts";
import { StartupError } from "../../ports/startup-error.ts";
import type { Log } from "../../ports/log.ts";
import { createEnvelopeVault } from "./envelope-vault.ts";
import { loadOrCreateMasterKeys, masterKeyPath, readMasterKeys } from "./master-key.ts";

export interface VaultOptions {
  /** The first one seals, any of them opens; undefined: they are in a file. */
  readonly masterKeys: readonly Uint8Array[] | undefined;
  /** The file; undefined: the one beside the embedded database, which is made where nothing needs another. */
  readonly masterKeyFile: string | undefined;
  readonly dataDir: string;
}

/** Reads the master keys that stored keys are sealed under. */
export type ReadMasterKeyIds = () => Promise<readonly string[]>;

/**
 * The vault that every stored key opens with.
 *
 * @throws StartupError before anything is written, where one of them needs another master key
 */
export async function openVault(readIds: ReadMasterKeyIds, options: VaultOptions, log?: Log): Promise<KeyVault> {
  const vault = await openVaultFor(await readIds(), options, log);
  await checkVault(vault, readIds);
  return vault;
}

/** @throws StartupError where a stored key needs a master key that the vault does not have */
export async function checkVault(vault: KeyVault, readIds: ReadMasterKeyIds): Promise<void> {
  let foreign = foreignTo(vault, await readIds());
  if (foreign !== undefined) {
    // Another process may have been changing the master key between our two looks.
    await vault.reload();
    foreign = foreignTo(vault, await readIds());
  }
  if (foreign === undefined) return;
  throw new StartupError(
    `the database holds keys sealed under master key ${foreign}, and the configured one is ` +
      `${vault.masterKeyId}: set COUNTERSIGN_MASTER_KEY to the former, or put its file back`,
  );
}

/** @param ids the master keys that will be needed; with any, a missing file is not replaced */
export async function openVaultFor(ids: readonly string[], options: VaultOptions, log?: Log): Promise<KeyVault> {
  const { masterKeys, masterKeyFile, dataDir } = options;
  if (masterKeys !== undefined) return createEnvelopeVault(masterKeys);
  const path = masterKeyFile ?? masterKeyPath(dataDir);
  const readKeys = async () => {
    const found = await readMasterKeys(path);
    if (found === undefined) throw new StartupError(`the master key ${path} is missing: put that file back`);
    return found;
  };
  if (masterKeyFile !== undefined) return createEnvelopeVault(await readKeys(), readKeys);
  const keys = await loadOrCreateMasterKeys(dataDir, ids[0]);
  if (log !== undefined && (await isOpenToOthers(path))) {
    log.warn({ path }, "others can read the master key: chmod 600 it, and consider 'countersign keys reseal'");
  }
  return createEnvelopeVault(keys, readKeys);
}

/** A file that somebody else provides is that one's affair: orchestrators mount secrets with modes of their own. */
async function isOpenToOthers(path: string): Promise<boolean> {
  return process.platform !== "win32" && ((await stat(path)).mode & 0o077) !== 0;
}

/** The first master key that is needed and not there. */
export function foreignTo(vault: KeyVault, ids: readonly string[]): string | undefined {
  return ids.find((id) => !vault.has(id));
}
