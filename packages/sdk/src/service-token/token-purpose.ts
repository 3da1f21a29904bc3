import { isScope } from "../protocol/claims.ts";
import { CountersignError } from "../protocol/errors.ts";

/** The purpose of a service's own token. */
export interface TokenPurpose {
  /**
   * The service to call; becomes `aud`. Default: none. With a service credential: the only service that the policy grants.
   */
  audience?: string | undefined;
  /**
   * The requested scopes: a list, or a string separated by spaces. Default: none. With a service credential: all scopes
   * that the policy grants.
   */
  scope?: string | readonly string[] | undefined;
}

/** A checked purpose; the scope has the form of RFC 6749 section 3.3. */
export interface ResolvedPurpose {
  readonly audience: string | undefined;
  readonly scope: string | undefined;
}

/** @throws CountersignError with the given code */
export function resolvePurpose(
  { audience, scope }: TokenPurpose,
  code: "invalid_option" | "invalid_argument",
): ResolvedPurpose {
  if (audience !== undefined && (typeof audience !== "string" || audience === "")) {
    throw new CountersignError(code, "audience: expected the name of a service");
  }
  const scopes: unknown = typeof scope === "string" ? scope.split(" ") : scope;
  if (scopes !== undefined && !(Array.isArray(scopes) && scopes.length > 0 && scopes.every(isScope))) {
    throw new CountersignError(code, "scope: expected one or several scopes");
  }
  return { audience, scope: scopes?.join(" ") };
}
