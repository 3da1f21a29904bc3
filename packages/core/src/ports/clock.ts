/** Milliseconds since an arbitrary start; never goes backward. */
export type Monotonic = () => number;

/** The core's clocks; tests inject their own. */
export interface CoreClock {
  /** The clock of an embedded store, milliseconds since the epoch; PostgreSQL has its own. */
  now(): number;
  readonly monotonic: Monotonic;
}
