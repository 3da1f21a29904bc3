import { PlatformUnavailable } from "../../ports/platform-keys.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { Log } from "../../ports/log.ts";
import type { Monotonic } from "../../ports/clock.ts";

/** Logs why requests fail. */
export interface OutageLog {
  report(error: unknown, facts: object): void;
}

/** Milliseconds. */
const QUIET = 60_000;
/** Outages that are distinguished. */
const MAX_NAMES = 100;

/**
 * An outage fails every request, and unauthenticated clients can send some of them. Log each outage at most once a minute,
 * with a count. Log unexpected errors every time.
 */
export function createOutageLog(log: Log, monotonic: Monotonic): OutageLog {
  const logged = new Map<string, { readonly at: number; skipped: number }>();
  return Object.freeze<OutageLog>({
    report(error, facts) {
      const isOutage = error instanceof StoreUnavailable || error instanceof PlatformUnavailable;
      if (!isOutage) return log.error({ err: error, ...facts }, "request failed");
      const name = String(error);
      const now = monotonic();
      const before = logged.get(name);
      if (before !== undefined && now - before.at < QUIET) {
        before.skipped++;
        return;
      }
      if (logged.size >= MAX_NAMES) logged.clear();
      logged.set(name, { at: now, skipped: 0 });
      const skipped = before?.skipped ?? 0;
      log.error({ err: error, ...facts, ...(skipped > 0 && { alsoFailed: skipped }) }, "request failed");
    },
  });
}
