import { DEFAULT_APP } from "../../domain/apps/app.ts";
import { StoreUnavailable, type Store } from "../../ports/store.ts";
import type { CredentialUses } from "../authentication/credential-uses.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { Log } from "../../ports/log.ts";
import type { PolicyReports } from "../policy/policy-reports.ts";
import type { RotateKeys } from "../keys/rotate-keys.ts";
import type { ReplayGuard } from "../authentication/replay-guard.ts";

interface Parts {
  readonly store: Store;
  readonly state: InstanceState;
  readonly rotateKeys: RotateKeys;
  readonly noticeRestore: () => Promise<void>;
  readonly preloadKeys: () => Promise<void>;
  readonly uses: Pick<CredentialUses, "flush" | "flushNow">;
  readonly reports: Pick<PolicyReports, "flush" | "flushNow">;
  readonly assertions: Pick<ReplayGuard, "tidy">;
  readonly log: Log;
}

/**
 * Polls the store and runs everything that is due: key rotation, restore detection and deferred writes. Its timer does
 * not keep the process alive.
 *
 * @param instanceRefresh milliseconds within which a change by another instance must be noticed
 */
export function startBackgroundJobs(
  { store, state, rotateKeys, noticeRestore, preloadKeys, uses, reports, assertions, log }: Parts,
  instanceRefresh: number,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const failures = createFailureLog(log);
  let timer: NodeJS.Timeout | undefined;
  let running = poll();

  async function poll(): Promise<void> {
    try {
      await state.refresh();
      await noticeRestore();
      await preloadKeys();
      if (!state.hasApp(DEFAULT_APP)) await rotateKeys.provisionApp(DEFAULT_APP);
      await rotateKeys.rotateAll(stopping.signal);
      await uses.flush();
      await reports.flush();
      await assertions.tidy();
      failures.recovered();
    } catch (error) {
      failures.report(error);
    }
    if (stopping.signal.aborted) return;
    timer = setTimeout(
      () => {
        running = poll();
      },
      Math.min(store.pollInterval, instanceRefresh),
    );
    timer.unref();
  }

  const unwatch = store.watch(() => {
    state.refresh().catch(() => {}); // the next poll fails too and logs it
  });

  return {
    async stop() {
      stopping.abort();
      unwatch();
      clearTimeout(timer);
      await running;
      // Do not wait for an unavailable store again; this loses the counters of the last minute.
      if (!failures.isStoreUnavailable()) await Promise.allSettled([uses.flushNow(), reports.flushNow()]);
    },
  };
}

/** Logs each failure once instead of at every poll: issuing tokens and serving key sets continue from memory. */
function createFailureLog(log: Log): {
  report(error: unknown): void;
  recovered(): void;
  isStoreUnavailable(): boolean;
} {
  const logged = new Set<string>();
  return {
    report(error) {
      const unavailable = error instanceof StoreUnavailable;
      const name = unavailable ? StoreUnavailable.name : String(error);
      if (logged.has(name)) return;
      logged.add(name);
      log.error(
        { err: error },
        unavailable ? "store unavailable, serving from memory" : "key maintenance failed, will retry",
      );
    },
    recovered() {
      if (logged.has(StoreUnavailable.name)) log.info({}, "store available");
      else if (logged.size > 0) log.info({}, "key maintenance recovered");
      logged.clear();
    },
    isStoreUnavailable: () => logged.has(StoreUnavailable.name),
  };
}
