import { performance } from "node:perf_hooks";

/** Time as the SDK sees it; tests bring their own. */
export interface Clock {
  /** Milliseconds since the epoch, for `exp` and its kin. */
  now(): number;
  /** Milliseconds since some start, never going back, for ages and intervals. */
  monotonic(): number;
}

export const systemClock: Clock = Object.freeze({ now: () => Date.now(), monotonic: () => performance.now() });

/** Seconds by which the clock may seem to move between two looks: it is slewed, and a process may be slow. */
const JUMP = 5;

/** Watches the wall clock against the monotonic one. Called often, it tells of each jump once. */
export function watchClock(onJump: (seconds: number) => void): (wall: number, monotonic: number) => void {
  let offset: number | undefined;
  return (wall, monotonic) => {
    const before = offset ?? wall - monotonic;
    offset = wall - monotonic;
    const seconds = Math.round((offset - before) / 1000);
    if (Math.abs(seconds) >= JUMP) onJump(seconds);
  };
}
