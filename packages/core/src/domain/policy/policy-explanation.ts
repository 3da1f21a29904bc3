import { listOf } from "./scope.ts";
import { decideCall, type Policy } from "./policy.ts";

/** Why a call is allowed or not, for the author of the policy. */
export interface CallExplanation {
  readonly allowed: boolean;
  /** Whether it is allowed only because the callee is report-only. */
  readonly reported: boolean;
  /** The rule that allows it, or what is missing and how to add it. */
  readonly why: string;
}

/** The state of a service; undefined: not registered. */
export type StateOf = (name: string) => "enabled" | "disabled" | undefined;

/**
 * Explains whether the caller gets a token for the callee, and why. Pure.
 *
 * @param caller a service name, as `callee`
 * @param scope undefined: all scopes that the policy grants
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
  // A caller that cannot authenticate gets no token, even if the policy grants the call.
  if (state !== "enabled")
    return { allowed: false, reported: false, why: `${caller} is ${state}: it gets no token. ${why}` };
  const isUnregistered = allowed && stateOf(callee) === undefined;
  return { allowed, reported, why: isUnregistered ? `${why} But ${callee} is no longer registered.` : why };
}

function explainByPolicy(
  policy: Policy | undefined,
  caller: string,
  callee: string,
  scope: string | undefined,
  stateOf: StateOf,
): CallExplanation {
  if (policy === undefined) {
    const why = "No policy has been applied in this app, so no service gets a token for another. Apply a policy.";
    return { allowed: false, reported: false, why };
  }
  const decision = decideCall(policy, caller, callee, scope === undefined ? undefined : [scope]);
  const missing = () => whatIsMissing(policy, caller, callee, scope, stateOf);
  if (!decision.allowed) return { allowed: false, reported: false, why: missing() };
  if (decision.reported !== undefined) {
    const why = `${callee} is report-only, so the call is allowed and reported. ${missing()}`;
    return { allowed: true, reported: true, why };
  }
  return {
    allowed: true,
    reported: false,
    why: `${ruleOf(caller, callee)} grants ${scope ?? listOf(decision.scopes)}.`,
  };
}

function whatIsMissing(
  { services }: Policy,
  caller: string,
  callee: string,
  scope: string | undefined,
  stateOf: StateOf,
): string {
  const rule = ruleOf(caller, callee);
  const granted = services.get(caller)?.calls.get(callee);
  const names = [...new Set([caller, callee])];
  // Registration comes first, because a policy with an unregistered service is rejected.
  const steps = names.filter((name) => stateOf(name) === undefined).map((name) => `register ${name}`);
  for (const name of names) if (!services.has(name)) steps.push(`declare ${name} in services`);
  steps.push(
    granted === undefined
      ? `add '${callee}: [${scope ?? ""}]' to services.${caller}.calls`
      : `add ${scope} to that list`,
  );
  if (scope !== undefined && services.get(callee)?.scopes?.includes(scope) === false) {
    steps.push(`add it to services.${callee}.scopes as well`);
  }
  const found =
    granted === undefined ? `${rule} does not exist` : `${rule} grants ${listOf(granted)}, but not ${scope}`;
  return `${found}. To allow it, ${listOf(steps)}.`;
}

function ruleOf(caller: string, callee: string): string {
  return `services.${caller}.calls.${callee}`;
}
