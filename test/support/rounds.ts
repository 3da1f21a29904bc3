/** Repetitions of a test. */
export interface Rounds {
  /** In `npm test`: enough to find a fault that is not rare. */
  readonly quick: number;
  /** In `npm run test:long:short`. */
  readonly short: number;
  /** In `npm run test:long`. */
  readonly full: number;
}

/** Returns the rounds for this run. vitest.config.ts sets the variable; a number in the environment overrides it. */
export function rounds(counts: Rounds): number {
  const size = process.env["COUNTERSIGN_TEST_ROUNDS"] ?? "quick";
  return Object.hasOwn(counts, size) ? counts[size as keyof Rounds] : Number(size);
}
