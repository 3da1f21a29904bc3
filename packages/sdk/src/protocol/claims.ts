import * as LIMITS from "./limits.ts";
import type { Reason } from "./reasons.ts";
import type { JsonObject } from "./strict-json.ts";

/** A required value of a claim: compared with `===`, never a pattern. */
export type ExactValue = string | number | boolean;

/** The claims that a verifier requires. Resolved once, when the verifier is created. */
export interface ClaimRules {
  /** The only accepted `iss`; undefined: not checked. */
  readonly issuer: string | undefined;
  /** Names of this service. `aud` must contain one of them; empty: `aud` must be absent; null: not checked. */
  readonly audience: readonly string[] | null;
  readonly requiredClaims: ReadonlyMap<string, ExactValue>;
  /** The `sub` of each allowed caller; undefined: not checked. */
  readonly allow: readonly string[] | undefined;
  /** The required scopes: `scope` must contain all of them. */
  readonly scope: readonly string[];
  /** The tolerated difference between clocks, in seconds. */
  readonly clockTolerance: number;
  /** The longest accepted `exp - iat`, in seconds; undefined: any. */
  readonly maxTokenLifetime: number | undefined;
}

/**
 * Checks the types of the registered claims (RFC 7519 section 4.1) and the presence of `exp`. Every verifier rejects a token
 * that fails here, so the core does not issue it.
 *
 * @returns the name of the first invalid claim; undefined if all are valid
 */
export function mistypedClaim(claims: JsonObject): string | undefined {
  for (const name of NAMES) {
    const value = claims[name];
    if (value === undefined) continue;
    // Many programs end a name at its first NUL.
    if (typeof value !== "string" || value.includes("\0")) return name;
  }
  const { aud } = claims;
  if (aud !== undefined && typeof aud !== "string" && !isArrayOfStrings(aud)) return "aud";
  for (const name of TIMES) {
    const value = claims[name];
    if (value === undefined ? name === "exp" : !isNumericDate(value)) return name;
  }
  return undefined;
}

const NAMES = ["iss", "sub", "jti"];
const TIMES = ["exp", "nbf", "iat"];

/** One check of the claims of a token whose signature is valid. */
export interface ClaimCheck {
  /** The reason for rejecting a token that fails the check. */
  readonly reason: Reason;
  readonly fails: (claims: RegisteredClaims, rules: ClaimRules, now: number) => boolean;
  /** For logs: the expected value, and the names of the claims that it reads; undefined: the required claims. */
  readonly expected: (rules: ClaimRules, now: number) => unknown;
  readonly claims?: readonly string[];
}

/** Claims after `mistypedClaim`: `exp` is present, and times are numbers. */
type RegisteredClaims = JsonObject & { exp?: number; nbf?: number; iat?: number };

/** In the order of the checks. The first one that fails decides the reason. Closed, so that `explain` lists every check. */
export const CLAIM_CHECKS: readonly ClaimCheck[] = [
  {
    reason: "token_expired",
    fails: ({ exp = 0 }, { clockTolerance }, now) => now >= exp + clockTolerance,
    expected: ({ clockTolerance }, now) => `after ${now - clockTolerance}`,
    claims: ["exp"],
  },
  {
    reason: "token_not_yet_valid",
    fails: ({ nbf = 0, iat = 0 }, { clockTolerance }, now) => Math.max(nbf, iat) - clockTolerance > now,
    expected: ({ clockTolerance }, now) => `up to ${now + clockTolerance}`,
    claims: ["nbf", "iat"],
  },
  {
    reason: "lifetime_exceeded",
    fails: ({ exp = 0, iat }, { maxTokenLifetime = Infinity }) => !(exp - (iat ?? -Infinity) <= maxTokenLifetime),
    expected: ({ maxTokenLifetime }) => maxTokenLifetime && `exp - iat up to ${maxTokenLifetime}`,
    claims: ["exp", "iat"],
  },
  {
    reason: "issuer_mismatch",
    fails: ({ iss }, { issuer }) => issuer !== undefined && iss !== issuer,
    expected: ({ issuer }) => issuer,
    claims: ["iss"],
  },
  {
    reason: "audience_mismatch",
    fails: ({ aud }, { audience }) => !audienceMatches(aud, audience),
    expected: ({ audience }) => (audience?.length === 0 ? "no aud" : audience),
    claims: ["aud"],
  },
  {
    reason: "claim_mismatch",
    fails: (claims, { requiredClaims }) => {
      for (const [name, value] of requiredClaims) if (own(claims, name) !== value) return true;
      return false;
    },
    expected: ({ requiredClaims }) => Object.fromEntries(requiredClaims),
  },
  // After claim_mismatch: a token that is not a service token is rejected for that, not for its caller or scope.
  {
    reason: "caller_not_allowed",
    fails: ({ sub }, { allow }) => allow?.includes(sub as string) === false,
    expected: ({ allow }) => allow,
    claims: ["sub"],
  },
  {
    reason: "insufficient_scope",
    fails: (claims, { scope }) => !scope.every((one) => scopesOf(claims).includes(one)),
    expected: ({ scope }) => scope.join(" ") || undefined,
    claims: ["scope"],
  },
];

/** RFC 6749 section 3.3; the limit of 128 characters is ours. */
const SCOPE_TOKEN = /^[!#-[\]-~]{1,128}$/;

export function isScope(text: unknown): text is string {
  return typeof text === "string" && SCOPE_TOKEN.test(text);
}

/** Returns the scopes of a token: the `scope` claim, split at spaces; none if it is not a string. */
export function scopesOf({ scope }: JsonObject): readonly string[] {
  return typeof scope === "string" ? scope.split(" ") : [];
}

/** Returns what a check reads from a token: the value of its only claim, or an object of its claims. */
export function seenBy({ claims: names }: ClaimCheck, claims: JsonObject, { requiredClaims }: ClaimRules): unknown {
  const seen = (names ?? [...requiredClaims.keys()]).map((name) => [name, own(claims, name)] as const);
  return names?.length === 1 ? seen[0]![1] : Object.fromEntries(seen);
}

/**
 * Checks the claims of a token whose signature is valid.
 *
 * @param now seconds since the epoch
 * @returns the reason for rejecting the token; undefined if it passes
 */
export function refusalOfClaims(claims: JsonObject, rules: ClaimRules, now: number): Reason | undefined {
  return mistypedClaim(claims) === undefined ? failedCheck(claims, rules, now) : "claims_malformed";
}

/** The same, for claims that have passed `mistypedClaim`. */
export function failedCheck(claims: JsonObject, rules: ClaimRules, now: number): Reason | undefined {
  for (const { fails, reason } of CLAIM_CHECKS) if (fails(claims, rules, now)) return reason;
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

export function isArrayOfStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isNumericDate(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LIMITS.numericDate;
}

function own(claims: JsonObject, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}
