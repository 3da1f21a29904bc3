import { lackingIn, type Policy } from "./policy.ts";

/** How often a call was allowed only because its callee is report-only. Times are milliseconds since the epoch. */
export interface ReportedCall {
  /** Undefined, as the callee: all those for which no room was left. */
  readonly caller: string | undefined;
  readonly callee: string | undefined;
  /** What the policy lacks; null: the call itself, as no scope was asked for. */
  readonly scope: string | null;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** Of one app. Callers choose scopes freely, so there must be an end to them. */
const MAX_REPORTED = 1_000;

/** The calls of one app, counted together. */
export class ReportTable {
  readonly #calls = new Map<string, ReportedCall>();

  constructor(calls: readonly ReportedCall[] = []) {
    this.add(calls);
  }

  add(calls: readonly ReportedCall[]): void {
    for (const call of calls) this.#add(call);
  }

  #add(call: ReportedCall): void {
    const name = JSON.stringify([call.caller, call.callee, call.scope]);
    const before = this.#calls.get(name);
    const isNew = before === undefined && call.caller !== undefined;
    if (isNew && this.#calls.size >= MAX_REPORTED) {
      this.#add({ ...call, caller: undefined, callee: undefined, scope: null });
      return;
    }
    this.#calls.set(name, {
      ...call,
      count: call.count + (before?.count ?? 0),
      firstAt: Math.min(call.firstAt, before?.firstAt ?? Infinity),
      lastAt: Math.max(call.lastAt, before?.lastAt ?? -Infinity),
    });
  }

  calls(): ReportedCall[] {
    return [...this.#calls.values()];
  }
}

/** Whether a call that was reported once would be reported again. Pure. */
export function isStillReported({ caller, callee, scope }: ReportedCall, policy: Policy): boolean {
  if (caller === undefined || callee === undefined) return true;
  if (policy.services.get(callee)?.reportOnly !== true) return false;
  return lackingIn(policy, caller, callee, scope === null ? undefined : [scope]).includes(scope);
}
