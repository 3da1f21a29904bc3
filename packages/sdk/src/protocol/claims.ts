import type { Reason } from "./decision.ts";
import { LIMITS } from "./limits.ts";
import type { JsonObject } from "./strict-json.ts";

/** A value a claim can be required to have: compared with `===`, never a pattern. */
export type ExactValue = string | number | boolean;

/** What a verifier demands of the claims of a token. Resolved once, when the verifier is made. */
export interface ClaimRules {
  /** The one `iss` accepted; undefined: not checked. */
  readonly issuer: string | undefined;
  /** Names of this service, one of which `aud` must hold; empty: `aud` must be absent; null: not checked. */
  readonly audience: readonly string[] | null;
  readonly requiredClaims: ReadonlyMap<string, ExactValue>;
  /** Seconds of difference between clocks that is forgiven. */
  readonly clockTolerance: number;
  /** Seconds that `exp - iat` may be at most; undefined: any. */
  readonly maxTokenLifetime: number | undefined;
}

/**
 * Checks the types of the registered claims (RFC 7519 section 4.1) and that `exp` is there. What
 * fails here is refused by every verifier, so the core refuses to mint it.
 *
 * @returns the name of the first claim that is wrong
 */
export function mistypedClaim(claims: JsonObject): string | undefined {
  for (const name of ["iss", "sub", "jti"]) {
    const value = own(claims, name);
    if (value === undefined) continue;
    // To half of the programs that read it, a name ends at its first NUL.
    if (typeof value !== "string" || value.includes("\0")) return name;
  }
  const aud = own(claims, "aud");
  if (aud !== undefined && typeof aud !== "string" && !isArrayOfStrings(aud)) return "aud";
  for (const name of ["exp", "nbf", "iat"]) {
    const value = own(claims, name);
    if (value === undefined ? name === "exp" : !isNumericDate(value)) return name;
  }
  return undefined;
}

/**
 * Checks the claims of a token whose signature is good.
 *
 * @param now seconds since the epoch
 * @returns why the token is refused, or undefined
 */
export function refusalOfClaims(claims: JsonObject, rules: ClaimRules, now: number): Reason | undefined {
  if (mistypedClaim(claims) !== undefined) return "claims_malformed";
  const { exp, nbf, iat } = claims as { exp: number; nbf?: number; iat?: number };
  if (now >= exp + rules.clockTolerance) return "token_expired";
  if (nbf !== undefined && now < nbf - rules.clockTolerance) return "token_not_yet_valid";
  if (iat !== undefined && now < iat - rules.clockTolerance) return "token_not_yet_valid";
  if (rules.maxTokenLifetime !== undefined && (iat === undefined || exp - iat > rules.maxTokenLifetime)) {
    return "lifetime_exceeded";
  }
  if (rules.issuer !== undefined && own(claims, "iss") !== rules.issuer) return "issuer_mismatch";
  if (!audienceMatches(own(claims, "aud"), rules.audience)) return "audience_mismatch";
  for (const [name, value] of rules.requiredClaims) {
    if (own(claims, name) !== value) return "claim_mismatch";
  }
  return undefined;
}

/**
 * A token that names an audience is for that audience only, and a door that has a name opens only to
 * tokens that say it: neither side may be lenient alone (RFC 7519 section 4.1.3).
 */
function audienceMatches(aud: unknown, audience: readonly string[] | null): boolean {
  if (audience === null) return true;
  if (audience.length === 0) return aud === undefined;
  if (typeof aud === "string") return audience.includes(aud);
  return Array.isArray(aud) && aud.some((one) => audience.includes(one as string));
}

function isArrayOfStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isNumericDate(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LIMITS.numericDate;
}

function own(claims: JsonObject, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
