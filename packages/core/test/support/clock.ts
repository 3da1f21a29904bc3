import type { CoreClock } from "../../src/index.ts";

/** 2026-01-01T00:00:00Z, milliseconds. */
export const NEW_YEAR = 1_767_225_600_000;

export interface FakeClock extends CoreClock {
  /** Advances both clocks. Milliseconds. */
  advance(ms: number): void;
  /** Sets the store's clock without advancing the instance's. */
  setWall(ms: number): void;
}

export function fakeClock(start = NEW_YEAR): FakeClock {
  let wall = start;
  let monotonic = 5_000;
  return {
    now: () => wall,
    monotonic: () => monotonic,
    advance(ms) {
      wall += ms;
      monotonic += ms;
    },
    setWall(ms) {
      wall = ms;
    },
  };
}
