import type { KeyVault } from "../ports/key-vault.ts";
import type { Store } from "../ports/store.ts";
import { StartupError } from "../startup-error.ts";
import { createEnvelopeVault } from "./envelope-vault.ts";
import { loadOrCreateMasterKeys, masterKeyPath, readMasterKeys } from "./master-key.ts";

export interface VaultOptions {
  /** The first one seals, any of them opens; undefined: the file beside the embedded database. */
  readonly masterKeys: readonly Uint8Array[] | undefined;
  readonly dataDir: string;
}

/**
 * The vault that every stored key opens with.
 *
 * @throws StartupError before anything is written, where one of them needs another master key
 */
export async function openVault(store: Store, options: VaultOptions): Promise<KeyVault> {
  const readIds = async () => (await store.readSnapshot()).keys.map((key) => key.masterKeyId);
  const vault = await openVaultFor(await readIds(), options);
  let foreign = foreignTo(vault, await readIds());
  if (foreign !== undefined) {
    // Another process may have been changing the master key between our two looks.
    await vault.reload();
    foreign = foreignTo(vault, await readIds());
  }
  if (foreign !== undefined) {
    throw new StartupError(
      `the database holds keys sealed under master key ${foreign}, and the configured one is ` +
        `${vault.masterKeyId}: set COUNTERSIGN_MASTER_KEY to the former, or put its file back`,
    );
  }
  return vault;
}

/** @param ids the master keys that will be needed; with any, a missing file is not replaced */
export async function openVaultFor(ids: readonly string[], { masterKeys, dataDir }: VaultOptions): Promise<KeyVault> {
  if (masterKeys !== undefined) return createEnvelopeVault(masterKeys);
  const keys = await loadOrCreateMasterKeys(dataDir, ids[0]);
  const path = masterKeyPath(dataDir);
  return createEnvelopeVault(keys, async () => {
    const found = await readMasterKeys(path);
    if (found === undefined) throw new StartupError(`${path} is missing: put that file back`);
    return found;
  });
}

/** The first master key that is needed and not there. */
export function foreignTo(vault: KeyVault, ids: readonly string[]): string | undefined {
  return ids.find((id) => !vault.has(id));
}
