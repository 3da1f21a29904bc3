import { PlatformUnavailable } from "../../ports/platform-keys.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { Log } from "../../ports/log.ts";
import type { Monotonic } from "../../ports/clock.ts";

/** Says why requests fail. */
export interface OutageLog {
  tell(error: unknown, facts: object): void;
}

/** Milliseconds. */
const QUIET = 60_000;
/** Troubles that are told apart. */
const MAX_NAMES = 100;

/**
 * What is away is away for every request, and some of those are a stranger's to send: each such trouble is said once a
 * minute, with how often it came meanwhile. Accidents are said each time.
 */
export function createOutageLog(log: Log, monotonic: Monotonic): OutageLog {
  const told = new Map<string, { readonly at: number; unsaid: number }>();
  return Object.freeze<OutageLog>({
    tell(error, facts) {
      const isAway = error instanceof StoreUnavailable || error instanceof PlatformUnavailable;
      if (!isAway) return log.error({ err: error, ...facts }, "a request failed");
      const name = String(error);
      const now = monotonic();
      const before = told.get(name);
      if (before !== undefined && now - before.at < QUIET) {
        before.unsaid++;
        return;
      }
      if (told.size >= MAX_NAMES) told.clear();
      told.set(name, { at: now, unsaid: 0 });
      const unsaid = before?.unsaid ?? 0;
      log.error({ err: error, ...facts, ...(unsaid > 0 && { alsoFailed: unsaid }) }, "a request failed");
    },
  });
}
