import { isStillReported, ReportTable, type ReportedCall } from "../../domain/policy/policy-report.ts";
import { lackingIn } from "../../domain/policy/policy.ts";
import type { Store } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";

/** How often callees that are report-only were called as the policy does not have it: in memory at once, in the store now and then. */
export interface PolicyReports {
  /**
   * Counts a call that was allowed only because its callee is report-only.
   *
   * @param scopes as they were asked for; undefined: none were
   */
  count(appId: string, caller: string, callee: string, scopes: readonly string[] | undefined): void;
  /** What was counted by this instance, and by the others until about a minute ago, and the policy still lacks. */
  of(appId: string): Promise<ReportedCall[]>;
  /** Writes down what is new, at most once a minute. */
  flush(): Promise<void>;
  /** Writes down what is new. */
  flushNow(): Promise<void>;
}

const FLUSH_EVERY = 60_000;

/** @param monotonic milliseconds since some start */
export function createPolicyReports(store: Store, state: InstanceState, monotonic: () => number): PolicyReports {
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
          if ((await writer.apps.find(appId)) === undefined) continue; // it was removed meanwhile
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
      await writing.catch(() => {}); // what it could not write is pending again
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
