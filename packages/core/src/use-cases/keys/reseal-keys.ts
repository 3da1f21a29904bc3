import type { KeyVault } from "../../ports/key-vault.ts";
import type { Store } from "../../ports/store.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import { reseal } from "../../crypto/private-keys.ts";

export interface Resealed {
  /** How many keys, of all apps. */
  readonly resealed: number;
  /** The master key that they are sealed under now. */
  readonly masterKeyId: string;
}

/** Seals every stored key under the current master key, all of them or none. */
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
          `the key ${foreign.kid} is sealed under master key ${foreign.masterKeyId}, which this instance does not have: ` +
          "add it to COUNTERSIGN_MASTER_KEY, or to the file";
        return { ok: false, status: 409, problem };
      }
      for (const key of keys) {
        const { sealedPrivateKey, masterKeyId } = await reseal(key, vault);
        await writer.keys.reseal(key.appId, key.kid, sealedPrivateKey, masterKeyId);
      }
      return { ok: true, value: { resealed: keys.length, masterKeyId: vault.masterKeyId } };
    });
}
