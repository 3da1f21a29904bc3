import { performance } from "node:perf_hooks";

/** Time as the SDK sees it; tests bring their own. */
export interface Clock {
  /** Milliseconds since the epoch, for `exp` and its kin. */
  now(): number;
  /** Milliseconds since some start, never going back, for ages and intervals. */
  monotonic(): number;
}

export const systemClock: Clock = Object.freeze({ now: () => Date.now(), monotonic: () => performance.now() });
