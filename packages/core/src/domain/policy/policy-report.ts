import { lackingIn, type Policy } from "./policy.ts";

/** Counts a call that was allowed only because the callee is report-only. Times are milliseconds since the epoch. */
export interface ReportedCall {
  /** Undefined, as the callee: all calls beyond the limit. */
  readonly caller: string | undefined;
  readonly callee: string | undefined;
  /** The scope that the policy lacks; null: no scope was requested, and the policy lacks the call itself. */
  readonly scope: string | null;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** Per app. Limited, because callers choose the scopes. */
const MAX_REPORTED = 1_000;

/** The reported calls of one app. */
export class ReportTable {
  readonly #calls = new Map<string, ReportedCall>();
  #others: ReportedCall | undefined;

  constructor(calls: readonly ReportedCall[] = []) {
    this.add(calls);
  }

  add(calls: readonly ReportedCall[]): void {
    for (const call of calls) {
      const name = JSON.stringify([call.caller, call.callee, call.scope]);
      const before = this.#calls.get(name);
      if (call.caller === undefined || (before === undefined && this.#calls.size >= MAX_REPORTED)) {
        this.#others = sumOf({ ...call, caller: undefined, callee: undefined, scope: null }, this.#others);
      } else {
        this.#calls.set(name, sumOf(call, before));
      }
    }
  }

  calls(): ReportedCall[] {
    return [...this.#calls.values(), ...(this.#others === undefined ? [] : [this.#others])];
  }
}

function sumOf(call: ReportedCall, before: ReportedCall | undefined): ReportedCall {
  if (before === undefined) return call;
  return {
    ...call,
    count: before.count + call.count,
    firstAt: Math.min(before.firstAt, call.firstAt),
    lastAt: Math.max(before.lastAt, call.lastAt),
  };
}

/** Reports whether the policy would still report the call. Pure. */
export function isStillReported({ caller, callee, scope }: ReportedCall, policy: Policy): boolean {
  if (caller === undefined || callee === undefined) {
    return [...policy.services.values()].some((service) => service.reportOnly);
  }
  if (policy.services.get(callee)?.reportOnly !== true) return false;
  return lackingIn(policy, caller, callee, scope === null ? undefined : [scope]).includes(scope);
}
