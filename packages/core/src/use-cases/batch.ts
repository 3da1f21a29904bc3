import { StoreUnavailable } from "../ports/store.ts";

/**
 * Batches concurrent requests: requests that arrive while a batch runs go into the next one. All of them together use
 * one connection, and other users of the store wait for at most one batch.
 *
 * @param most requests in one batch
 * @param work processes a batch atomically and returns the results in request order
 */
export function inBatches<T, R>(
  most: number,
  work: (requests: readonly T[]) => Promise<readonly R[]>,
): (request: T) => Promise<R> {
  interface Waiting {
    readonly request: T;
    resolve(result: R): void;
    reject(error: unknown): void;
  }
  const waiting: Waiting[] = [];
  let running = false;

  async function run(): Promise<void> {
    running = true;
    while (waiting.length > 0) await runBatch(waiting.splice(0, most));
    running = false;
  }

  async function runBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      const results = await work(batch.map(({ request }) => request));
      batch.forEach(({ resolve }, at) => resolve(results[at]!));
    } catch (error) {
      if (error instanceof StoreUnavailable) {
        // Wait for an unavailable store once, not once for each batch.
        for (const { reject } of [...batch, ...waiting.splice(0)]) reject(error);
      } else if (batch.length === 1) {
        batch[0]!.reject(error);
      } else {
        for (const one of batch) await runBatch([one]); // one invalid request must not fail the others
      }
    }
  }

  return (request) =>
    new Promise((resolve, reject) => {
      waiting.push({ request, resolve, reject });
      if (!running) void run();
    });
}
