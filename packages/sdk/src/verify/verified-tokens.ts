import type { Caller, Decision } from "../protocol/decision.ts";
import type { Revocations } from "../protocol/revocations.ts";
import type { ImportedKey } from "../crypto/signature.ts";

/**
 * What was found out about a token: facts that stay true, and what they were found out with. Whether the token may
 * pass is decided anew each time.
 */
export interface VerifiedToken<T> {
  token: string;
  readonly caller: Caller;
  /** Made once: a promise that is already kept costs nothing to give out again. */
  readonly allowed: Promise<Decision>;
  /** Whom the token was verified by. */
  readonly trust: T;
  readonly key: ImportedKey;
  /** The feed that did not have it. */
  revocations: Revocations | undefined;
  /** When its `exp` and the tolerance have passed, by the monotonic clock: a wall clock that is set back changes nothing. */
  readonly endsAt: number;
}

const MAX_ENTRIES = 10_000;
const MAX_BYTES = 33_554_432;

/** Of an entry: its token, the claims and header that were parsed from it, and what holds them. Measured, rounded up. */
const sizeOf = (token: string) => 1_024 + 3 * token.length;

/**
 * Tokens are filed under their last characters, where a signature differs as much as it can, and then compared whole:
 * hashing all of a token costs more than everything else that is done with one that is kept.
 */
const tailOf = (token: string) => token.slice(-43);

export interface TokenCache<T> {
  get(token: string): VerifiedToken<T> | undefined;
  /** Keeps a token from its second time on. */
  set(verified: VerifiedToken<T>, signature: Uint8Array): void;
  delete(verified: VerifiedToken<T>): void;
}

/**
 * The tokens that a verifier has verified, told apart by the whole token and nothing else, bounded in number and size;
 * the one that was not used for longest goes first. One that came only once is not kept either: tokens are mostly used for
 * as long as they live, or once, and keeping one costs a tenth of verifying it. Failures are never kept: whoever sends
 * them cannot push out what is good.
 */
export function createTokenCache<T>(): TokenCache<T> {
  /** In the order of their use, the last used one last. */
  const entries = new Map<string, VerifiedToken<T>>();
  let lastUsed: VerifiedToken<T> | undefined;
  let bytes = 0;
  /** Marks of the tokens that came, by how their signatures begin. That two share one does no harm. */
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
      // A copy: what is cut out of a longer text keeps all of that in memory.
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
