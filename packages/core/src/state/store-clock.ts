import type { Monotonic } from "../ports/clock.ts";

/**
 * The store's clock, read without asking the store: what it said last, advanced by a clock that nobody
 * sets. An instance whose own clock is wrong still stamps right tokens.
 */
export class StoreClock {
  readonly #monotonic: Monotonic;
  #storeNow = 0;
  #askedAt = 0;
  #answeredAt = 0;

  constructor(monotonic: Monotonic) {
    this.#monotonic = monotonic;
  }

  /** @param storeNow what the store answered to a question, with when it was asked and answered by the monotonic clock */
  set(storeNow: number, askedAt: number, answeredAt: number): void {
    this.#storeNow = storeNow;
    this.#askedAt = askedAt;
    this.#answeredAt = answeredAt;
  }

  /**
   * Milliseconds since the epoch by the store's clock; behind it for as long as the answer was on its way, and never
   * ahead: what is issued before a revocation must not be stamped later.
   */
  now(): number {
    return this.#storeNow + this.monotonic() - this.#answeredAt;
  }

  /** Milliseconds since the store was last heard of. */
  age(): number {
    return this.monotonic() - this.#askedAt;
  }

  monotonic(): number {
    return this.#monotonic();
  }
}
