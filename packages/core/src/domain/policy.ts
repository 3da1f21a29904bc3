/** Who may call whom in one app. */
export type Policy = Readonly<Record<string, unknown>>;

/** Whether a caller gets a token for a callee, and what it says; or which error of RFC 6749 and 8707 it gets. */
export type CallDecision =
  | {
      readonly allowed: true;
      readonly audience: string | undefined;
      readonly scopes: readonly string[];
      /** What would have been refused, where the callee only wants to know. */
      readonly reported?: string;
    }
  | {
      readonly allowed: false;
      readonly status: 400 | 403;
      readonly error: "invalid_target" | "invalid_scope" | "invalid_request";
      readonly problem: string;
    };

/**
 * @param policy undefined: none has been applied in the app, so nobody has a callee
 * @param audience undefined: the only callee that the caller has
 * @param scopes undefined: all that the caller has there
 */
export function decideCall(
  policy: Policy | undefined,
  _caller: string,
  audience: string | undefined,
  scopes: readonly string[] | undefined,
): CallDecision {
  if (policy === undefined && audience === undefined && scopes === undefined) {
    return { allowed: true, audience: undefined, scopes: [] };
  }
  const error = audience === undefined ? "invalid_scope" : "invalid_target";
  const problem = "no policy has been applied, so nobody may ask for an audience or a scope";
  return { allowed: false, status: 403, error, problem };
}
