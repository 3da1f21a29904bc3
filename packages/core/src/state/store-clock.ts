import type { Monotonic } from "../ports/clock.ts";

/**
 * Estimates the store's clock between reads, by adding monotonic time to the last reading. Tokens get the correct time
 * even if the clock of this instance is wrong.
 */
export class StoreClock {
  readonly #monotonic: Monotonic;
  #storeNow = 0;
  #askedAt = 0;
  #answeredAt = 0;

  constructor(monotonic: Monotonic) {
    this.#monotonic = monotonic;
  }

  /** @param storeNow a reading of the store, with the times of request and response by the monotonic clock */
  set(storeNow: number, askedAt: number, answeredAt: number): void {
    this.#storeNow = storeNow;
    this.#askedAt = askedAt;
    this.#answeredAt = answeredAt;
  }

  /**
   * Milliseconds since the epoch by the store's clock. Behind it by the latency of the response, and never ahead: a token
   * issued before a revocation must not have a later time.
   */
  now(): number {
    return this.#storeNow + this.monotonic() - this.#answeredAt;
  }

  /** Milliseconds since the last reading. */
  age(): number {
    return this.monotonic() - this.#askedAt;
  }

  monotonic(): number {
    return this.#monotonic();
  }
}
