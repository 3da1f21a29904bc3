import { listOf, MAX_SCOPES, problemOfScope } from "./scope.ts";

/** Which service can call which, with which scopes. */
export interface Policy {
  /** By name. */
  readonly services: ReadonlyMap<string, PolicyService>;
}

export interface PolicyService {
  /** The granted scopes, by callee. */
  readonly calls: ReadonlyMap<string, readonly string[]>;
  /** All scopes that the service has as a callee; undefined: not listed. */
  readonly scopes: readonly string[] | undefined;
  /** Whether calls to it that the policy does not grant are allowed and reported. */
  readonly reportOnly: boolean;
}

export type CallDecision =
  | {
      readonly allowed: true;
      /** Undefined: the token has no `aud`. */
      readonly audience: string | undefined;
      readonly scopes: readonly string[];
      /** Why it would be rejected if the callee were not report-only. */
      readonly reported?: string;
    }
  | {
      readonly allowed: false;
      readonly status: 400 | 403;
      readonly error: "invalid_target" | "invalid_scope" | "invalid_request";
      /** Does not contain the request's audience or scope, which are untrusted. */
      readonly problem: string;
    };

/**
 * Decides whether a caller gets a token for a callee, and with which scopes. Pure.
 *
 * @param policy undefined: none has been applied
 * @param audience undefined: the caller's only callee
 * @param scopes undefined: all that the policy grants
 */
export function decideCall(
  policy: Policy | undefined,
  caller: string,
  audience: string | undefined,
  scopes: readonly string[] | undefined,
): CallDecision {
  if (policy === undefined) return decideWithoutPolicy(audience, scopes);
  const calls = policy.services.get(caller)?.calls ?? NO_CALLS;
  const callee = audience ?? onlyCallee(calls);
  if (callee === undefined) {
    const problem = `'audience' is missing: ${calleesOf(caller, calls)}`;
    return { allowed: false, status: 400, error: "invalid_request", problem };
  }
  const asked = scopes && [...new Set(scopes)];
  const granted = calls.get(callee);
  const outside = asked?.filter((scope) => granted?.includes(scope) !== true) ?? [];
  if (granted !== undefined && outside.length === 0) {
    return { allowed: true, audience: callee, scopes: asked ?? granted };
  }
  const isTarget = granted === undefined;
  const problem = isTarget
    ? `the policy does not allow ${caller} to call this audience; ${calleesOf(caller, calls)}`
    : `the policy does not grant ${caller} this scope for ${callee}; it grants ${listOf(granted)}`;
  if (policy.services.get(callee)?.reportOnly === true) {
    return reportOnly(callee, asked ?? [], problem);
  }
  return { allowed: false, status: 403, error: isTarget ? "invalid_target" : "invalid_scope", problem };
}

function decideWithoutPolicy(audience: string | undefined, scopes: readonly string[] = []): CallDecision {
  if (audience === undefined && scopes.length === 0) return { allowed: true, audience, scopes };
  const problem = "no policy has been applied, so tokens have no audience and no scope";
  return { allowed: false, status: 403, error: audience === undefined ? "invalid_scope" : "invalid_target", problem };
}

/** Checks scopes that the policy does not grant, because they go into the token. */
function reportOnly(audience: string, scopes: readonly string[], reported: string): CallDecision {
  if (scopes.length <= MAX_SCOPES && scopes.every((scope) => problemOfScope(scope) === undefined)) {
    return { allowed: true, audience, scopes, reported };
  }
  const problem = `expected at most ${MAX_SCOPES} scopes of 1 to 128 characters each (RFC 6749 section 3.3)`;
  return { allowed: false, status: 400, error: "invalid_scope", problem };
}

const NO_CALLS: PolicyService["calls"] = new Map();

function onlyCallee(calls: PolicyService["calls"]): string | undefined {
  return calls.size === 1 ? calls.keys().next().value : undefined;
}

function calleesOf(caller: string, calls: PolicyService["calls"]): string {
  return `${caller} can call ${calls.size === 0 ? "no service" : listOf([...calls.keys()])}`;
}

/**
 * Returns the scopes that the policy does not grant, or null if it does not allow the call and no scope was requested.
 * Pure.
 *
 * @param scopes undefined: all that the policy grants
 */
export function lackingIn(
  policy: Policy,
  caller: string,
  callee: string,
  scopes: readonly string[] | undefined,
): readonly (string | null)[] {
  const granted = policy.services.get(caller)?.calls.get(callee);
  if (granted === undefined && (scopes?.length ?? 0) === 0) return [null];
  return [...new Set(scopes)].filter((scope) => granted?.includes(scope) !== true);
}
