// Concurrent requests for single-use values.
import { describe, expect, it } from "vitest";
import { StoreUnavailable, type OneUse } from "../../../src/ports/store.ts";
import { inBatches } from "../../../src/use-cases/batch.ts";
import { createReplayGuard } from "../../../src/use-cases/authentication/replay-guard.ts";
import { fakeClock } from "../../support/clock.ts";
import { startInstance } from "../../support/instance.ts";

const use = (digest: string): OneUse => ({ appId: "public", digest, until: 4_000_000_000 });

describe("uses of assertions", () => {
  it("S4 are stored in few batches, for any number of requests, and only the first of two equal ones is accepted", async () => {
    const { store, clock } = await startInstance();
    let batches = 0;
    const useOnce = (uses: readonly OneUse[]) => {
      batches++;
      return store.useOnce(uses);
    };
    const assertions = createReplayGuard({ ...store, useOnce }, clock.monotonic);
    const asked = Array.from({ length: 1_000 }, (_, i) => assertions.use(use(`d${i % 500}`)));
    expect((await Promise.all(asked)).filter((first) => first)).toHaveLength(500);
    expect(batches).toBeLessThanOrEqual(11);
    expect(await assertions.use(use("d1"))).toBe(false);
  });

  it("are deleted once a minute if they have expired", async () => {
    const clock = fakeClock();
    const { store } = await startInstance({ clock });
    let tidied = 0;
    const forgetUsed = () => {
      tidied++;
      return store.forgetUsed();
    };
    const assertions = createReplayGuard({ ...store, forgetUsed }, clock.monotonic);
    for (const ms of [0, 59_999, 1, 59_999, 1, 0]) {
      clock.advance(ms);
      await assertions.tidy();
    }
    expect(tidied).toBe(2);
  });
});

describe("batched work", () => {
  it("fails for every waiting caller if the store is unavailable, and is retried for later callers", async () => {
    let away = true;
    let batches = 0;
    const double = inBatches(2, async (numbers: readonly number[]) => {
      batches++;
      await Promise.resolve();
      if (away) throw new StoreUnavailable("away");
      return numbers.map((one) => one * 2);
    });
    const failed = await Promise.allSettled([1, 2, 3, 4, 5].map(double));
    expect(failed.map(({ status }) => status)).toEqual(Array(5).fill("rejected"));
    expect(batches).toBe(1);
    away = false;
    expect(await Promise.all([1, 2, 3].map(double))).toEqual([2, 4, 6]);
  });

  it("fails for no other caller if one of them is invalid", async () => {
    const half = inBatches(10, async (numbers: readonly number[]) => {
      if (numbers.some((one) => one % 2 === 1)) throw new RangeError("odd");
      return numbers.map((one) => one / 2);
    });
    const settled = await Promise.allSettled([2, 3, 4].map(half));
    expect(settled).toEqual([
      { status: "fulfilled", value: 1 },
      { status: "rejected", reason: new RangeError("odd") },
      { status: "fulfilled", value: 2 },
    ]);
  });
});
