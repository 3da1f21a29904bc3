// Measures the memory that cached tokens take.
import { expect, test } from "vitest";
import { openRoute } from "../../support/protected-route.ts";
import { edKey, tokenBy } from "../../support/keys.ts";

const key = edKey("s-1");
const token = tokenBy(key);

/** Length of a claim, and number of tokens: the shortest exceed the cache's entry limit, the others its byte limit. */
const MORE_THAN_THE_CACHE_TAKES = [
  [10, 12_500],
  [500, 10_000],
  [3_000, 4_000],
  [5_500, 3_000],
] as const;

test("R13 cached tokens of any size take at most 32 MiB", async () => {
  const { verifier, clock } = await openRoute([key]);
  const gc = globalThis.gc!;
  const used = () => (gc(), process.memoryUsage().heapUsed);
  await verifier.verify(token);
  const before = used();
  let most = 0;
  for (const [length, tokens] of MORE_THAN_THE_CACHE_TAKES) {
    for (let i = 0; i < tokens; i++) {
      const one = tokenBy(key, { jti: `${length}-${i}`, note: "x".repeat(length) });
      await verifier.verify(one);
      await verifier.verify(one); // cached from the second use on
    }
    most = Math.max(most, used() - before);
  }
  clock.advance(1);
  await verifier.verify(token);
  process.stderr.write(`note: R13 the heap grew by ${(most / 1_048_576).toFixed(1)} MiB at most\n`);
  expect(most).toBeLessThan(32 * 1_048_576);
  expect(most).toBeGreaterThan(4 * 1_048_576); // otherwise nothing was cached
}, 120_000);
