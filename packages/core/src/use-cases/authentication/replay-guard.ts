import type { OneUse, Store } from "../../ports/store.ts";
import type { Monotonic } from "../../ports/clock.ts";
import { inBatches } from "../batch.ts";

/** What is good for one use, remembered by all instances until nobody would take it any more. */
export interface ReplayGuard {
  /** @returns whether this is the first use */
  use(one: OneUse): Promise<boolean>;
  /** Forgets what nobody would take any more, at most once a minute. */
  tidy(): Promise<void>;
}

const MOST_AT_ONCE = 100;
const TIDY_EVERY = 60_000;

export function createReplayGuard(store: Store, monotonic: Monotonic): ReplayGuard {
  let tidiedAt = monotonic();
  return Object.freeze<ReplayGuard>({
    use: inBatches(MOST_AT_ONCE, (uses: readonly OneUse[]) => store.useOnce(uses)),
    async tidy() {
      if (monotonic() - tidiedAt < TIDY_EVERY) return;
      tidiedAt = monotonic();
      await store.forgetUsed();
    },
  });
}
