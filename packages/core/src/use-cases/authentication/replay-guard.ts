import type { OneUse, Store } from "../../ports/store.ts";
import type { Monotonic } from "../../ports/clock.ts";
import { inBatches } from "../batch.ts";

/** Prevents replays across all instances: an entry is stored until it would be rejected anyway. */
export interface ReplayGuard {
  /** Records a use. Returns true for the first one. */
  use(one: OneUse): Promise<boolean>;
  /** Deletes expired entries, at most once a minute. */
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
