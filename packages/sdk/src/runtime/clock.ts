import { performance } from "node:perf_hooks";

/** The clock of the SDK; tests inject their own. */
export interface Clock {
  /** Milliseconds since the epoch, for `exp`, `nbf` and `iat`. */
  now(): number;
  /** Milliseconds since an arbitrary start, for ages and intervals; never moves backward. */
  monotonic(): number;
}

export const systemClock: Clock = Object.freeze({ now: () => Date.now(), monotonic: () => performance.now() });

/** The smallest reported jump, in seconds: the clock is slewed, and a busy process samples late. */
const JUMP = 5;

/** Compares the wall clock with the monotonic clock at each call of the returned function, and reports each jump once. */
export function watchClock(onJump: (seconds: number) => void): (wall: number, monotonic: number) => void {
  let offset: number | undefined;
  return (wall, monotonic) => {
    const before = offset ?? wall - monotonic;
    offset = wall - monotonic;
    const seconds = Math.round((offset - before) / 1000);
    if (Math.abs(seconds) >= JUMP) onJump(seconds);
  };
}
