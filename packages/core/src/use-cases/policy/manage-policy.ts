import { diffPolicies, type PolicyChange } from "../../domain/policy/policy-diff.ts";
import { documentOf, type PolicyDocument } from "../../domain/policy/policy-document.ts";
import { explainCall, type CallExplanation } from "../../domain/policy/policy-explanation.ts";
import { isStillReported } from "../../domain/policy/policy-report.ts";
import type { Policy } from "../../domain/policy/policy.ts";
import { problemOfScope } from "../../domain/policy/scope.ts";
import { problemOfServiceName } from "../../domain/services/service.ts";
import type { PolicyVersion, Store, StoredPolicy } from "../../ports/store.ts";
import { policyIn } from "../../state/applied-policy.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import type { PolicyReports } from "./policy-reports.ts";
import type { PolicyMistake, ReadPolicyText } from "../../ports/policy-text.ts";

/** Dates are ISO 8601. */
export interface PolicyVersionView {
  readonly version: number;
  readonly appliedAt: string;
  readonly appliedBy: string;
}

export interface PolicyView extends PolicyVersionView {
  readonly document: PolicyDocument;
}

export interface PolicyDiff {
  /** Version it was compared with; 0: no policy has been applied. */
  readonly version: number;
  readonly changes: readonly PolicyChange[];
}

export interface ReportView {
  /** Caller and callee are undefined for calls that exceeded the limit of the report. */
  readonly caller: string | undefined;
  readonly callee: string | undefined;
  /** null: no scope was asked for. */
  readonly scope: string | null;
  readonly count: number;
  readonly firstAt: string;
  readonly lastAt: string;
}

export interface ApplyRequest {
  /** YAML or JSON. */
  readonly text: string;
  /** Version the diff was made against; a conflict if it is not current. Undefined: any version. */
  readonly expectedVersion: number | undefined;
  /** Name to record in the version history. */
  readonly appliedBy: string;
}

/** A ChangeResult with the errors in the policy text, if there are any. */
export type ManagedPolicy<T> =
  ChangeResult<T> | (ChangeResult<T> & { readonly ok: false; readonly mistakes: readonly PolicyMistake[] });

export interface ManagePolicy {
  /** Undefined: no policy has been applied. */
  current(appId: string): PolicyView | undefined;
  /** Newest first. */
  versions(appId: string): Promise<PolicyVersionView[]>;
  version(appId: string, version: number): Promise<ChangeResult<PolicyView>>;
  /** Returns the changes that applying the text would make. */
  diff(appId: string, text: string): Promise<ManagedPolicy<PolicyDiff>>;
  /** Replaces the current policy atomically. Does nothing if there are no changes. */
  apply(
    appId: string,
    request: ApplyRequest,
  ): Promise<ManagedPolicy<PolicyVersionView & { changes: readonly PolicyChange[] }>>;
  test(appId: string, caller: string, callee: string, scope: string | undefined): ChangeResult<CallExplanation>;
  /** Returns calls allowed only because the callee is report-only, most frequent first. */
  report(appId: string): Promise<ReportView[]>;
}

interface Parts {
  readonly store: Store;
  readonly state: InstanceState;
  readonly reports: PolicyReports;
  readonly readText: ReadPolicyText;
  /** The names of an app's services, from memory. */
  readonly registeredIn: (appId: string) => ReadonlySet<string>;
}

export function createManagePolicy({ store, state, reports, readText, registeredIn }: Parts): ManagePolicy {
  async function read(appId: string, text: string): Promise<ManagedPolicy<Policy>> {
    await state.refresh(); // another instance might have just registered a service
    return judge(text, registeredIn(appId));
  }

  function judge(text: string, registered: ReadonlySet<string>): ManagedPolicy<Policy> {
    const found = readText(text, registered);
    if (found.ok) return { ok: true, value: found.policy };
    const { line, column, message } = found.mistakes[0]!;
    const more = found.mistakes.length === 1 ? "" : `, and ${found.mistakes.length - 1} more`;
    const problem = `line ${line}, column ${column}: ${message}${more}`;
    return { ok: false, status: 400, problem, mistakes: found.mistakes };
  }

  return Object.freeze<ManagePolicy>({
    current(appId) {
      const applied = state.appliedPolicyOf(appId);
      return applied && viewOf(applied.stored);
    },

    versions: async (appId) => (await store.readPolicyVersions(appId)).map(versionOf),

    async version(appId, version) {
      const stored = await store.readPolicy(appId, version);
      if (stored === undefined) return { ok: false, status: 404, problem: "policy version not found" };
      return { ok: true, value: viewOf(stored) };
    },

    async diff(appId, text) {
      const policy = await read(appId, text);
      if (!policy.ok) return policy;
      const applied = state.appliedPolicyOf(appId);
      const changes = diffPolicies(applied?.policy, policy.value);
      return { ok: true, value: { version: applied?.stored.version ?? 0, changes } };
    },

    async apply(appId, { text, expectedVersion, appliedBy }) {
      const policy = await read(appId, text);
      if (!policy.ok) return policy;
      const document = JSON.stringify(documentOf(policy.value));
      const done = await store.write<ManagedPolicy<{ stored: StoredPolicy; changes: readonly PolicyChange[] }>>(
        async (writer) => {
          const { policies, services } = writer;
          if ((await writer.apps.find(appId)) === undefined)
            return { ok: false, status: 404, problem: "app not found" };
          // A referenced service can have been deleted since the text was read. Under the lock, none can be.
          const registered = await services.names(appId);
          if ([...policy.value.services.keys()].some((name) => !registered.has(name))) {
            const again = judge(text, registered);
            if (!again.ok) return again;
          }
          const before = await policies.current(appId);
          if (expectedVersion !== undefined && expectedVersion !== (before?.version ?? 0)) return conflict(before);
          const changes = diffPolicies(before && policyIn(before), policy.value);
          if (before !== undefined && changes.length === 0) return { ok: true, value: { stored: before, changes } };
          const stored = await policies.insert(appId, document, appliedBy);
          const reported = await policies.reportedIn(appId);
          const left = reported.filter((call) => isStillReported(call, policy.value));
          if (left.length < reported.length) await policies.replaceReported(appId, left);
          return { ok: true, value: { stored, changes } };
        },
      );
      await state.catchUp();
      if (!done.ok) return done;
      return { ok: true, value: { ...versionOf(done.value.stored), changes: done.value.changes } };
    },

    test(appId, caller, callee, scope) {
      const problem =
        problemOfServiceName(caller) ??
        problemOfServiceName(callee) ??
        (scope === undefined ? undefined : problemOfScope(scope));
      if (problem !== undefined) return { ok: false, status: 400, problem };
      const stateOf = (name: string) => {
        const service = state.servicesOf(appId)?.find(name);
        return service && (service.disabledAt === null ? "enabled" : "disabled");
      };
      return { ok: true, value: explainCall(state.callPolicyOf(appId), caller, callee, scope, stateOf) };
    },

    async report(appId) {
      const calls = (await reports.of(appId)).sort((a, b) => b.count - a.count);
      return calls.map(({ firstAt, lastAt, ...call }) => ({ ...call, firstAt: isoOf(firstAt), lastAt: isoOf(lastAt) }));
    },
  });
}

function conflict(current: StoredPolicy | undefined): { ok: false; status: 409; problem: string } {
  const found = current === undefined ? "there is no current policy" : `the current version is ${current.version}`;
  return { ok: false, status: 409, problem: `${found}, which differs from the compared version; compare again` };
}

function versionOf({ version, appliedAt, appliedBy }: PolicyVersion): PolicyVersionView {
  return { version, appliedAt: isoOf(appliedAt), appliedBy };
}

function viewOf(stored: StoredPolicy): PolicyView {
  return { ...versionOf(stored), document: JSON.parse(stored.document) as PolicyDocument };
}

function isoOf(date: number): string {
  return new Date(date).toISOString();
}
