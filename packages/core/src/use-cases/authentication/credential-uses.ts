import type { Credential, CredentialUse } from "../../domain/authentication/credential.ts";
import type { Store } from "../../ports/store.ts";
import type { Monotonic } from "../../ports/clock.ts";

/** Records when credentials were last used: immediately in memory, periodically in the store. */
export interface CredentialUses {
  /** @param now milliseconds since the epoch, measured with the store's clock */
  note(credential: Credential, now: number): void;
  /** The last use that is not in the store yet, milliseconds since the epoch; null: none. */
  lastOf(credential: Credential): number | null;
  /** Stores new uses, at most once a minute. */
  flush(): Promise<void>;
  /** Stores new uses immediately. */
  flushNow(): Promise<void>;
}

const FLUSH_EVERY = 60_000;

/** Holds at most one time for each credential. */
export function createCredentialUses(store: Store, monotonic: Monotonic): CredentialUses {
  /** By the digest of the credential. */
  const pending = new Map<string, CredentialUse>();
  let flushedAt = monotonic();

  async function flushNow(): Promise<void> {
    flushedAt = monotonic();
    const uses = [...pending];
    if (uses.length === 0) return;
    await store.write((writer) => writer.services.noteUses(uses.map(([, use]) => use)));
    // Keep uses that arrived during the write for the next flush.
    for (const [digest, use] of uses) if (pending.get(digest) === use) pending.delete(digest);
  }

  return Object.freeze<CredentialUses>({
    note({ appId, service, id, digest }, now) {
      pending.set(digest, { appId, service, id, usedAt: Math.floor(now) });
    },
    lastOf: ({ digest }) => pending.get(digest)?.usedAt ?? null,
    flush: async () => {
      if (monotonic() - flushedAt >= FLUSH_EVERY) await flushNow();
    },
    flushNow,
  });
}
