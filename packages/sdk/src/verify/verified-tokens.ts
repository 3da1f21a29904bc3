import type { Caller, Decision } from "../protocol/decision.ts";
import type { Revocations } from "../protocol/revocations.ts";
import type { ImportedKey } from "../crypto/signature.ts";

/**
 * The facts that verifying a token established, and what they depend on. The verifier decides again on every request
 * whether the token is accepted.
 */
export interface VerifiedToken<Issuer> {
  token: string;
  readonly caller: Caller;
  /** Created once: returning a resolved promise costs nothing. */
  readonly allowed: Promise<Decision>;
  readonly issuer: Issuer;
  readonly key: ImportedKey;
  /** The last feed that was checked, and did not list the token. */
  revocations: Revocations | undefined;
  /** When `exp` and the tolerance pass, on the monotonic clock, so that a clock moved backward does not extend it. */
  readonly expiresAt: number;
}

const MAX_ENTRIES = 10_000;
const MAX_BYTES = 33_554_432;

/** Bytes of an entry with its parsed claims and header: measured, rounded up. */
const sizeOf = (token: string) => 1_024 + 3 * token.length;

/**
 * Entries are indexed by the last characters, where signatures differ most, and then compared as a whole. Hashing a whole
 * token would cost more than all other work on a cached one.
 */
const tailOf = (token: string) => token.slice(-43);

export interface VerifiedTokens<Issuer> {
  get(token: string): VerifiedToken<Issuer> | undefined;
  /** Caches a token from its second use on. */
  set(verified: VerifiedToken<Issuer>, signature: Uint8Array): void;
  delete(verified: VerifiedToken<Issuer>): void;
}

/**
 * Creates an LRU cache of verified tokens, keyed by the whole token, limited in entries and bytes. Caches from the second
 * use: caching costs a tenth of verifying, and many tokens are used once. Never caches failures, so attackers cannot evict
 * valid tokens.
 */
export function createVerifiedTokens<Issuer>(): VerifiedTokens<Issuer> {
  /** The least recently used entry first. */
  const entries = new Map<string, VerifiedToken<Issuer>>();
  let lastUsed: VerifiedToken<Issuer> | undefined;
  let bytes = 0;
  /** Marks tokens that were used once, by the first two bytes of the signature. Collisions only cause earlier caching. */
  const seen = new Uint8Array(65_536);
  let marks = 0;

  function remove(tail: string): void {
    const entry = entries.get(tail);
    if (entry === undefined) return;
    entries.delete(tail);
    bytes -= sizeOf(entry.token);
  }

  return {
    get(token) {
      const tail = tailOf(token);
      const entry = entries.get(tail);
      if (entry?.token !== token) return undefined;
      if (entry !== lastUsed) {
        entries.delete(tail);
        entries.set(tail, (lastUsed = entry));
      }
      return entry;
    },
    set(verified, signature) {
      const mark = (signature[0]! << 8) | signature[1]!;
      if (seen[mark] === 0) {
        if (marks++ % MAX_ENTRIES === 0) seen.fill(0);
        seen[mark] = 1;
        return;
      }
      // Copied, because a slice keeps the whole header value in memory.
      const own = Buffer.from(verified.token).toString();
      verified.token = own;
      const tail = tailOf(own);
      remove(tail);
      entries.set(tail, (lastUsed = verified));
      bytes += sizeOf(own);
      while (entries.size > MAX_ENTRIES || bytes > MAX_BYTES) remove(entries.keys().next().value!);
    },
    delete: ({ token }) => remove(tailOf(token)),
  };
}
