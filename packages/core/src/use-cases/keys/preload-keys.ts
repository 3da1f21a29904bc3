import { isLive } from "../../domain/keys/signing-key.ts";
import type { KeyVault } from "../../ports/key-vault.ts";
import type { StoredKey } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { Log } from "../../ports/log.ts";

/**
 * Decrypts active and prepared signing keys ahead of time, so that a key that cannot be decrypted is logged now instead
 * of failing token requests at its activation time. Never rejects.
 */
export function createPreloadKeys(state: InstanceState, vault: KeyVault, log: Log): () => Promise<void> {
  /** Problems that were logged and still exist. */
  let logged: ReadonlySet<string> = new Set();
  return async () => {
    const outages = new Map<string, () => void>();
    const now = state.now();
    for (const appId of state.appIds()) {
      for (const key of state.keysOf(appId)) {
        const signs = isLive(key, now) && (key.signsUntil === null || now < key.signsUntil);
        if (signs) await check(key, outages);
      }
    }
    for (const [name, say] of outages) if (!logged.has(name)) say();
    logged = new Set(outages.keys());
  };

  /** Also checks keys that are decrypted already: this instance might not be able to decrypt them again. */
  async function check(key: StoredKey, outages: Map<string, () => void>): Promise<void> {
    const { appId, kid, masterKeyId } = key;
    try {
      if (!vault.has(masterKeyId)) await vault.reload();
      if (vault.has(masterKeyId)) return void (await state.privateKeyOf(key));
      outages.set(masterKeyId, () =>
        log.error(
          { masterKeyId, own: vault.masterKeyId, hint: "configure this master key and restart" },
          "master key missing, stored signing keys cannot be decrypted",
        ),
      );
    } catch (error) {
      outages.set(`${appId} ${kid}`, () => log.error({ err: error, appId, kid }, "failed to decrypt signing key"));
    }
  }
}
