/**
 * Waits for a promise for at most `ms` milliseconds, and then resolves with `fallback`. The promise itself continues.
 *
 * @throws the rejection of the promise
 */
export function withTimeout<T, F>(promise: Promise<T>, ms: number, fallback: F): Promise<T | F> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<F>((resolve) => (timer = setTimeout(resolve, ms, fallback)));
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}
