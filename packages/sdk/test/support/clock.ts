import type { Clock } from "../../src/runtime/clock.ts";
import { NOW } from "./keys.ts";

export interface FakeClock extends Clock {
  /** Advances the wall clock and the monotonic clock. */
  advance(seconds: number): void;
  /** Sets the wall clock forward or backward, without advancing the monotonic clock. */
  jump(seconds: number): void;
}

export function fakeClock(startSeconds = NOW): FakeClock {
  let wall = startSeconds * 1000;
  let monotonic = 1_000_000;
  return {
    now: () => wall,
    monotonic: () => monotonic,
    advance(seconds) {
      wall += seconds * 1000;
      monotonic += seconds * 1000;
    },
    jump: (seconds) => void (wall += seconds * 1000),
  };
}
