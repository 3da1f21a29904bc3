import { isLive } from "../../domain/keys/signing-key.ts";
import type { KeyVault } from "../../ports/key-vault.ts";
import type { StoredKey } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { Log } from "../../ports/log.ts";

/**
 * Opens whatever signs now or later, ahead of its turn: what this instance cannot open is said at once, and not found
 * out a week later by everybody who asks for a token. Never rejects.
 */
export function createPreloadKeys(state: InstanceState, vault: KeyVault, log: Log): () => Promise<void> {
  /** What was said, until it is no longer so. */
  let told: ReadonlySet<string> = new Set();
  return async () => {
    const outages = new Map<string, () => void>();
    const now = state.now();
    for (const appId of state.appIds()) {
      for (const key of state.keysOf(appId)) {
        const signs = isLive(key, now) && (key.signsUntil === null || now < key.signsUntil);
        if (signs) await lookAt(key, outages);
      }
    }
    for (const [name, say] of outages) if (!told.has(name)) say();
    told = new Set(outages.keys());
  };

  /** Also at one that is open already: this instance may not be able to open it again. */
  async function lookAt(key: StoredKey, outages: Map<string, () => void>): Promise<void> {
    const { appId, kid, masterKeyId } = key;
    try {
      if (!vault.has(masterKeyId)) await vault.reload();
      if (vault.has(masterKeyId)) return void (await state.privateKeyOf(key));
      outages.set(masterKeyId, () =>
        log.error(
          { masterKeyId, own: vault.masterKeyId },
          "KEYS ARE SEALED UNDER A MASTER KEY THAT THIS INSTANCE DOES NOT HAVE: it signs with what it has opened until " +
            "the next key's turn or its next start; give it that master key, and start it again",
        ),
      );
    } catch (error) {
      outages.set(`${appId} ${kid}`, () => log.error({ err: error, appId, kid }, "a signing key cannot be opened"));
    }
  }
}
