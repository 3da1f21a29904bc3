import { isStillReported, ReportTable, type ReportedCall } from "../../domain/policy/policy-report.ts";
import { lackingIn } from "../../domain/policy/policy.ts";
import type { Monotonic } from "../../ports/clock.ts";
import type { Store } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";

/** Counts calls that the policy does not grant to report-only callees: immediately in memory, periodically in the store. */
export interface PolicyReports {
  /**
   * Counts a call that was allowed only because its callee is report-only.
   *
   * @param scopes the requested scopes; undefined: none requested
   */
  count(appId: string, caller: string, callee: string, scopes: readonly string[] | undefined): void;
  /** Returns the counted calls that the policy still does not grant. Counts of other instances lag by about a minute. */
  of(appId: string): Promise<ReportedCall[]>;
  /** Stores new counts, at most once a minute. */
  flush(): Promise<void>;
  /** Stores new counts immediately. */
  flushNow(): Promise<void>;
}

const FLUSH_EVERY = 60_000;

export function createPolicyReports(store: Store, state: InstanceState, monotonic: Monotonic): PolicyReports {
  /** By app. */
  let pending = new Map<string, ReportTable>();
  let flushedAt = monotonic();
  let writing: Promise<void> = Promise.resolve();

  function addPending(appId: string, calls: readonly ReportedCall[]): void {
    const table = pending.get(appId) ?? new ReportTable();
    pending.set(appId, table);
    table.add(calls);
  }

  async function flushNow(): Promise<void> {
    flushedAt = monotonic();
    if (pending.size === 0) return;
    const counted = pending;
    pending = new Map();
    writing = write(counted);
    await writing;
  }

  async function write(counted: ReadonlyMap<string, ReportTable>): Promise<void> {
    try {
      await store.write(async (writer) => {
        for (const [appId, table] of counted) {
          if ((await writer.apps.find(appId)) === undefined) continue; // deleted in the meantime
          const all = new ReportTable(await writer.policies.reportedIn(appId));
          all.add(table.calls());
          await writer.policies.replaceReported(appId, all.calls());
        }
      });
    } catch (error) {
      for (const [appId, table] of counted) addPending(appId, table.calls());
      throw error;
    }
  }

  return Object.freeze<PolicyReports>({
    count(appId, caller, callee, scopes) {
      const policy = state.callPolicyOf(appId);
      if (policy === undefined) return;
      const at = Math.floor(state.now());
      const lacking = lackingIn(policy, caller, callee, scopes);
      addPending(
        appId,
        lacking.map((scope) => ({ caller, callee, scope, count: 1, firstAt: at, lastAt: at })),
      );
    },

    async of(appId) {
      await writing.catch(() => {}); // a failed write makes its counts pending again
      const all = new ReportTable(await store.readReported(appId));
      all.add(pending.get(appId)?.calls() ?? []);
      const policy = state.callPolicyOf(appId);
      return policy === undefined ? [] : all.calls().filter((call) => isStillReported(call, policy));
    },

    flush: async () => {
      if (monotonic() - flushedAt >= FLUSH_EVERY) await flushNow();
    },
    flushNow,
  });
}
