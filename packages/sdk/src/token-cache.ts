import type { Caller, Decision } from "./protocol/decision.ts";
import type { Revocations } from "./protocol/revocations.ts";
import type { ImportedKey } from "./signature.ts";

/**
 * What was found out about a token: facts that stay true, and what they were found out with. Whether the token may
 * pass is decided anew each time.
 */
export interface VerifiedToken<T> {
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

interface Entry<T> {
  readonly token: string;
  readonly verified: VerifiedToken<T>;
  newer: Entry<T> | undefined;
  older: Entry<T> | undefined;
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

/**
 * The tokens that a verifier has verified, told apart by the whole token and nothing else, bounded in number and size;
 * the one that was not used for longest goes first. Failures are never kept: whoever sends them cannot push out what is
 * good.
 */
export class TokenCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  #newest: Entry<T> | undefined;
  #oldest: Entry<T> | undefined;
  #bytes = 0;

  get(token: string): VerifiedToken<T> | undefined {
    const entry = this.#entries.get(tailOf(token));
    if (entry === undefined || entry.token !== token) return undefined;
    if (entry !== this.#newest) {
      this.#unlink(entry);
      this.#link(entry);
    }
    return entry.verified;
  }

  set(token: string, verified: VerifiedToken<T>): void {
    const tail = tailOf(token);
    this.#remove(this.#entries.get(tail));
    // A copy: what is cut out of a longer text keeps all of that in memory.
    const own = Buffer.from(token, "latin1").toString("latin1");
    const entry: Entry<T> = { token: own, verified, newer: undefined, older: undefined };
    this.#entries.set(tailOf(own), entry);
    this.#link(entry);
    this.#bytes += sizeOf(token);
    while (this.#entries.size > MAX_ENTRIES || this.#bytes > MAX_BYTES) this.#remove(this.#oldest);
  }

  delete(token: string): void {
    const entry = this.#entries.get(tailOf(token));
    if (entry?.token === token) this.#remove(entry);
  }

  #remove(entry: Entry<T> | undefined): void {
    if (entry === undefined) return;
    this.#entries.delete(tailOf(entry.token));
    this.#unlink(entry);
    this.#bytes -= sizeOf(entry.token);
  }

  #link(entry: Entry<T>): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest !== undefined) this.#newest.newer = entry;
    this.#newest = entry;
    this.#oldest ??= entry;
  }

  #unlink({ newer, older }: Entry<T>): void {
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
  }
}
