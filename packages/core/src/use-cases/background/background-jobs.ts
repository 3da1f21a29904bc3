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
 * What an instance does by itself: looks at the store, and makes the keys that are due. The event loop
 * may end while it waits.
 *
 * @param instanceRefresh milliseconds within which another instance's change must be seen
 */
export function startBackgroundJobs(
  { store, state, rotateKeys, noticeRestore, preloadKeys, uses, reports, assertions, log }: Parts,
  instanceRefresh: number,
): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const outages = createTroubles(log);
  let timer: NodeJS.Timeout | undefined;
  let running = look();

  async function look(): Promise<void> {
    try {
      await state.refresh();
      await noticeRestore();
      await preloadKeys();
      if (!state.hasApp(DEFAULT_APP)) await rotateKeys.provisionApp(DEFAULT_APP);
      await rotateKeys.rotateAll(stopping.signal);
      await uses.flush();
      await reports.flush();
      await assertions.tidy();
      outages.over();
    } catch (error) {
      outages.tell(error);
    }
    if (stopping.signal.aborted) return;
    timer = setTimeout(
      () => {
        running = look();
      },
      Math.min(store.pollInterval, instanceRefresh),
    );
    timer.unref();
  }

  const unwatch = store.watch(() => {
    state.refresh().catch(() => {}); // the next look finds out, and says so
  });

  return {
    async stop() {
      stopping.abort();
      unwatch();
      clearTimeout(timer);
      await running;
      // A store that is away is not waited for twice; what is lost is what was counted and noted in the last minute.
      if (!outages.isAway()) await Promise.allSettled([uses.flushNow(), reports.flushNow()]);
    },
  };
}

/** Issuing and the key sets go on from memory whatever it is, so each trouble is said once, and not at every look. */
function createTroubles(log: Log): { tell(error: unknown): void; over(): void; isAway(): boolean } {
  const told = new Set<string>();
  return {
    tell(error) {
      const away = error instanceof StoreUnavailable;
      const name = away ? StoreUnavailable.name : String(error);
      if (told.has(name)) return;
      told.add(name);
      log.error(
        { err: error },
        away ? "the store cannot be used; going on from memory" : "looking after the keys failed; it is tried again",
      );
    },
    over() {
      if (told.has(StoreUnavailable.name)) log.info({}, "the store can be used again");
      else if (told.size > 0) log.info({}, "the keys are looked after again");
      told.clear();
    },
    isAway: () => told.has(StoreUnavailable.name),
  };
}
