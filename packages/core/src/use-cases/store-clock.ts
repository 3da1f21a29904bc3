/** Milliseconds since some start, never going back. */
export type Monotonic = () => number;

/**
 * The store's clock, read without asking the store: what it said last, advanced by a clock that nobody
 * sets. An instance whose own clock is wrong still stamps right tokens.
 */
export class StoreClock {
  readonly #monotonic: Monotonic;
  #storeNow = 0;
  #measuredAt = 0;

  constructor(monotonic: Monotonic) {
    this.#monotonic = monotonic;
  }

  /** @param storeNow what the store answered to a question asked at `askedAt`, by the monotonic clock */
  set(storeNow: number, askedAt: number): void {
    this.#storeNow = storeNow;
    this.#measuredAt = askedAt;
  }

  /** Milliseconds since the epoch by the store's clock. */
  now(): number {
    return this.#storeNow + this.age();
  }

  /** Milliseconds since the store was last heard of. */
  age(): number {
    return this.monotonic() - this.#measuredAt;
  }

  monotonic(): number {
    return this.#monotonic();
  }
}
