import { listOf } from "./scope.ts";
import { decideCall, type Policy } from "./policy.ts";

/** Why a call is allowed or not, for whoever writes the policy. */
export interface CallExplanation {
  readonly allowed: boolean;
  /** Whether it is allowed only because the callee is report-only. */
  readonly reported: boolean;
  /** Which line allows it; or what is missing, and what to write. */
  readonly why: string;
}

/** What is known of a service of that name; undefined: it is not registered. */
export type StateOf = (name: string) => "enabled" | "disabled" | undefined;

/**
 * What a caller gets who asks for such a token, and why. Pure.
 *
 * @param caller a service's name, as `callee` is
 * @param scope undefined: whatever the policy has for this call
 */
export function explainCall(
  policy: Policy | undefined,
  caller: string,
  callee: string,
  scope: string | undefined,
  stateOf: StateOf,
): CallExplanation {
  const { allowed, reported, why } = explainByPolicy(policy, caller, callee, scope, stateOf);
  const state = stateOf(caller) ?? "not registered";
  // Whatever the policy has for it: nobody gets a token who cannot say who he is.
  if (state !== "enabled")
    return { allowed: false, reported: false, why: `${caller} is ${state}: it gets no token. ${why}` };
  const isStranger = allowed && stateOf(callee) === undefined;
  return { allowed, reported, why: isStranger ? `${why} But ${callee} is not registered any more.` : why };
}

function explainByPolicy(
  policy: Policy | undefined,
  caller: string,
  callee: string,
  scope: string | undefined,
  stateOf: StateOf,
): CallExplanation {
  if (policy === undefined) {
    const why = "No policy has been applied in this app, so nobody gets a token for anybody. Write one, and apply it.";
    return { allowed: false, reported: false, why };
  }
  const decision = decideCall(policy, caller, callee, scope === undefined ? undefined : [scope]);
  const missing = () => whatIsMissing(policy, caller, callee, scope, stateOf);
  if (!decision.allowed) return { allowed: false, reported: false, why: missing() };
  if (decision.reported !== undefined) {
    const why = `${callee} is report-only, so this is allowed, and counted. ${missing()}`;
    return { allowed: true, reported: true, why };
  }
  return { allowed: true, reported: false, why: `${lineOf(caller, callee)} has ${scope ?? listOf(decision.scopes)}.` };
}

function whatIsMissing(
  { services }: Policy,
  caller: string,
  callee: string,
  scope: string | undefined,
  stateOf: StateOf,
): string {
  const line = lineOf(caller, callee);
  const granted = services.get(caller)?.calls.get(callee);
  const names = [...new Set([caller, callee])];
  // In the order in which it works: a policy that names somebody who is not registered is refused.
  const steps = names.filter((name) => stateOf(name) === undefined).map((name) => `register ${name}`);
  for (const name of names) if (!services.has(name)) steps.push(`declare ${name} under services`);
  steps.push(
    granted === undefined
      ? `write '${callee}: [${scope ?? ""}]' under services.${caller}.calls`
      : `add ${scope} to that list`,
  );
  if (scope !== undefined && services.get(callee)?.scopes?.includes(scope) === false) {
    steps.push(`add it to services.${callee}.scopes, which lacks it too`);
  }
  const found = granted === undefined ? `There is no line ${line}` : `${line} has ${listOf(granted)}, and not ${scope}`;
  return `${found}. To allow it, ${listOf(steps)}.`;
}

function lineOf(caller: string, callee: string): string {
  return `services.${caller}.calls.${callee}`;
}
