import { listOf, MAX_SCOPES, problemOfScope } from "./scope.ts";

/** Who may call whom, and for what. */
export interface Policy {
  /** By name. */
  readonly services: ReadonlyMap<string, PolicyService>;
}

export interface PolicyService {
  /** What it may ask for, by callee. */
  readonly calls: ReadonlyMap<string, readonly string[]>;
  /** All that it can be asked for; undefined: the policy does not say. */
  readonly scopes: readonly string[] | undefined;
  /** When it is called, what the policy lacks is allowed all the same, and reported. */
  readonly reportOnly: boolean;
}

export type CallDecision =
  | {
      readonly allowed: true;
      /** Undefined: the token is for nobody in particular. */
      readonly audience: string | undefined;
      readonly scopes: readonly string[];
      /** Why it would have been refused, were the callee not report-only. */
      readonly reported?: string;
    }
  | {
      readonly allowed: false;
      readonly status: 400 | 403;
      readonly error: "invalid_target" | "invalid_scope" | "invalid_request";
      /** Without a word of what was asked for: that is a stranger's text. */
      readonly problem: string;
    };

/**
 * Whether a caller gets a token for a callee, and what stands in it. Pure.
 *
 * @param policy undefined: none has been applied
 * @param audience undefined: the only callee that the caller has
 * @param scopes undefined: all that the policy has for this call
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
    ? `the policy does not let ${caller} call this audience: ${calleesOf(caller, calls)}`
    : `the policy does not let ${caller} ask ${callee} for this scope: it has ${listOf(granted)}`;
  if (policy.services.get(callee)?.reportOnly === true) {
    return reportOnly(callee, asked ?? [], problem);
  }
  return { allowed: false, status: 403, error: isTarget ? "invalid_target" : "invalid_scope", problem };
}

function decideWithoutPolicy(audience: string | undefined, scopes: readonly string[] = []): CallDecision {
  if (audience === undefined && scopes.length === 0) return { allowed: true, audience, scopes };
  const problem = "no policy has been applied, so nobody may ask for an audience or a scope";
  return { allowed: false, status: 403, error: audience === undefined ? "invalid_scope" : "invalid_target", problem };
}

/** What no line has checked goes into a token, so it has to be scopes at least, and not more than any line has. */
function reportOnly(audience: string, scopes: readonly string[], reported: string): CallDecision {
  if (scopes.length <= MAX_SCOPES && scopes.every((scope) => problemOfScope(scope) === undefined)) {
    return { allowed: true, audience, scopes, reported };
  }
  const problem = `at most ${MAX_SCOPES} scopes, each of 1 to 128 characters of RFC 6749 section 3.3`;
  return { allowed: false, status: 400, error: "invalid_scope", problem };
}

const NO_CALLS: PolicyService["calls"] = new Map();

function onlyCallee(calls: PolicyService["calls"]): string | undefined {
  return calls.size === 1 ? calls.keys().next().value : undefined;
}

function calleesOf(caller: string, calls: PolicyService["calls"]): string {
  return `${caller} may call ${calls.size === 0 ? "nobody" : listOf([...calls.keys()])}`;
}

/**
 * What a call lacks in the policy: scopes, or null where the call itself is not there and no scope was asked for. Pure.
 *
 * @param scopes undefined: all that the policy has for this call
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
