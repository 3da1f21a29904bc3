import type { Credential, CredentialUse } from "../../domain/authentication/credential.ts";
import type { Store } from "../../ports/store.ts";
import type { Monotonic } from "../../ports/clock.ts";

/** When credentials were used last: in memory at once, in the store now and then. */
export interface CredentialUses {
  /** @param now milliseconds by the store's clock */
  note(credential: Credential, now: number): void;
  /** What the store does not know yet. */
  lastOf(credential: Credential): number | null;
  /** Writes down what is new, at most once a minute. */
  flush(): Promise<void>;
  /** Writes down what is new. */
  flushNow(): Promise<void>;
}

const FLUSH_EVERY = 60_000;

/** Holds one moment for each credential that there is, at most. */
export function createCredentialUses(store: Store, monotonic: Monotonic): CredentialUses {
  /** By the digest of the credential. */
  const pending = new Map<string, CredentialUse>();
  let flushedAt = monotonic();

  async function flushNow(): Promise<void> {
    flushedAt = monotonic();
    const uses = [...pending];
    if (uses.length === 0) return;
    await store.write((writer) => writer.services.noteUses(uses.map(([, use]) => use)));
    // What was used again meanwhile is for the next time.
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
