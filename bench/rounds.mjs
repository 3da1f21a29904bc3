// Comparing on a machine that is busy: peers take turns many times a second, so that what disturbs one disturbs all, and
// each round gives its own ratio.

const SLICES = 10; // shorter turns would disfavour a peer that works on other threads, which then must be woken

/**
 * @typedef {{
 *   name: string,
 *   prepare?: () => Promise<void>,
 *   run: (from: number, to: number) => Promise<void> | void,
 * }} Contestant `prepare` comes before each round and is not measured; `run` does the works numbered `from` to `to - 1`
 * @typedef {{ perSecond: number[], perCpuSecond: number[] }} Rates works of each round; by the CPU time they took it
 *   does not matter who else is at work
 * @typedef {ReadonlyMap<string, Rates>} RatesByName
 * @typedef {{ median: number, min: number, max: number }} Spread
 */

/**
 * Lets every contestant do the same `works` in each round, in slices and in any order. The first rounds warm up and are
 * thrown away.
 *
 * @param {{ contestants: readonly Contestant[], works: number, rounds: number, warmUp?: number }} options
 * @returns {Promise<RatesByName>}
 */
export async function takeTurns({ contestants, works, rounds, warmUp = 3 }) {
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

/** Nobody is always first, nor always cleans up behind the same one. @template T @param {readonly T[]} list @returns {T[]} */
export function shuffled(list) {
  return list
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** Round by round. @param {readonly number[]} ours @param {readonly number[]} theirs @returns {Spread} */
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
