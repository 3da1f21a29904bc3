import type { KeyVault } from "../../ports/key-vault.ts";
import type { Store } from "../../ports/store.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import { reseal } from "../../crypto/private-keys.ts";

export interface Resealed {
  /** Number of keys, in all apps. */
  readonly resealed: number;
  /** ID of the master key that encrypts them now. */
  readonly masterKeyId: string;
}

/** Re-encrypts all stored keys with the current master key, atomically. */
export type ResealKeys = () => Promise<ChangeResult<Resealed>>;

export function createResealKeys(store: Store, vault: KeyVault): ResealKeys {
  return () =>
    store.write(async (writer) => {
      await vault.reload();
      const keys = [];
      for (const { appId } of await writer.apps.list()) keys.push(...(await writer.keys.listIn(appId)));
      const foreign = keys.find((key) => !vault.has(key.masterKeyId));
      if (foreign !== undefined) {
        const problem =
          `key ${foreign.kid} is encrypted with master key ${foreign.masterKeyId}, which this instance does not have; ` +
          "add that master key to COUNTERSIGN_MASTER_KEY or to the master key file";
        return { ok: false, status: 409, problem };
      }
      for (const key of keys) {
        const { sealedPrivateKey, masterKeyId } = await reseal(key, vault);
        await writer.keys.reseal(key.appId, key.kid, sealedPrivateKey, masterKeyId);
      }
      return { ok: true, value: { resealed: keys.length, masterKeyId: vault.masterKeyId } };
    });
}
