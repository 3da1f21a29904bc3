import { StoreUnavailable } from "../ports/store.ts";

/**
 * Does what many ask for in few turns: whoever asks while one is being done is in the next. So however many ask, one
 * connection is enough for them, and whoever else needs the store waits for one turn of theirs at most.
 *
 * @param most in one turn
 * @param work all of one turn or nothing; its results in the order of what was asked
 */
export function inBatches<T, R>(
  most: number,
  work: (asked: readonly T[]) => Promise<readonly R[]>,
): (one: T) => Promise<R> {
  interface Waiting {
    readonly one: T;
    resolve(result: R): void;
    reject(error: unknown): void;
  }
  const waiting: Waiting[] = [];
  let running = false;

  async function run(): Promise<void> {
    running = true;
    while (waiting.length > 0) await take(waiting.splice(0, most));
    running = false;
  }

  async function take(turn: readonly Waiting[]): Promise<void> {
    try {
      const results = await work(turn.map(({ one }) => one));
      turn.forEach(({ resolve }, at) => resolve(results[at]!));
    } catch (error) {
      if (error instanceof StoreUnavailable) {
        // A store that is away is waited for once, not once for each turn.
        for (const { reject } of [...turn, ...waiting.splice(0)]) reject(error);
      } else if (turn.length === 1) {
        turn[0]!.reject(error);
      } else {
        for (const one of turn) await take([one]); // what is wrong with one of them is not the others' affair
      }
    }
  }

  return (one) =>
    new Promise((resolve, reject) => {
      waiting.push({ one, resolve, reject });
      if (!running) void run();
    });
}
