// Compares implementations on a busy machine. They alternate many times a second, so that other processes slow all of them
// down alike, and each round gives its own ratio.

const SLICES = 10; // shorter slices would slow down a peer that works on other threads, which must wake up each time

/**
 * @typedef {{
 *   name: string,
 *   prepare?: () => Promise<void>,
 *   run: (from: number, to: number) => Promise<void> | void,
 * }} Contestant `prepare` runs before each round and is not measured; `run` does the work items `from` to `to - 1`
 * @typedef {{ perSecond: number[], perCpuSecond: number[] }} Rates work items of each round; other processes hardly
 *   affect the rate per CPU second
 * @typedef {ReadonlyMap<string, Rates>} RatesByName
 * @typedef {{ median: number, min: number, max: number }} Spread
 */

/**
 * Lets every contestant do the same `works` items in each round, in slices and in random order. The first `warmUp` rounds
 * are not counted.
 *
 * @param {{ contestants: readonly Contestant[], works: number, rounds: number, warmUp?: number }} options
 * @returns {Promise<RatesByName>}
 */
export async function interleave({ contestants, works, rounds, warmUp = 3 }) {
  const rates = emptyRates(contestants.map(({ name }) => name));
  for (let round = -warmUp; round < rounds; round++) {
    for (const { prepare } of contestants) await prepare?.();
    const spent = new Map(contestants.map(({ name }) => [name, { ms: 0, cpuMs: 0 }]));
    for (let slice = 0; slice < SLICES; slice++) {
      const [from = 0, to = 0] = [(works * slice) / SLICES, (works * (slice + 1)) / SLICES].map(Math.floor);
      for (const { name, run } of shuffled(contestants)) {
        const [began, cpu] = [performance.now(), process.cpuUsage()];
        await run(from, to);
        const { user, system } = process.cpuUsage(cpu);
        const sum = spent.get(name);
        if (sum === undefined) continue;
        sum.ms += performance.now() - began;
        sum.cpuMs += (user + system) / 1000;
      }
    }
    if (round < 0) continue;
    for (const [name, { ms, cpuMs }] of spent) {
      rates.get(name)?.perSecond.push((works / ms) * 1000);
      rates.get(name)?.perCpuSecond.push((works / cpuMs) * 1000);
    }
  }
  return rates;
}

/** @param {readonly string[]} names @returns {RatesByName} */
export function emptyRates(names) {
  return new Map(names.map((name) => [name, { perSecond: [], perCpuSecond: [] }]));
}

/** In random order, so that no contestant always runs first or always pays for the garbage of the same other. @template T @param {readonly T[]} list @returns {T[]} */
export function shuffled(list) {
  return list
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** Returns the ratio of each round. @param {readonly number[]} ours @param {readonly number[]} theirs @returns {Spread} */
export function ratios(ours, theirs) {
  return spread(ours.map((one, round) => one / (theirs[round] ?? NaN)));
}

/** @param {readonly number[]} values @returns {Spread} */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
  return { median: median ?? NaN, min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN };
}
