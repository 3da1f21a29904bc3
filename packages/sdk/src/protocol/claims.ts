import * as LIMITS from "./limits.ts";
import type { Reason } from "./reasons.ts";
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
  /** The `sub` of each service that may call; undefined: not checked. */
  readonly allow: readonly string[] | undefined;
  /** All of which `scope` must hold. */
  readonly scope: readonly string[];
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
  for (const name of NAMES) {
    const value = claims[name];
    if (value === undefined) continue;
    // To half of the programs that read it, a name ends at its first NUL.
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

/** One thing that is checked about the claims of a token whose signature is good. */
export interface ClaimCheck {
  /** Why a token is refused that fails it. */
  readonly reason: Reason;
  readonly fails: (claims: RegisteredClaims, rules: ClaimRules, now: number) => boolean;
  /** For people: what the check wants, and the claims that it looks at; undefined: the required ones. */
  readonly expected: (rules: ClaimRules, now: number) => unknown;
  readonly claims?: readonly string[];
}

/** Claims whose types were checked: `exp` is there, and a time is a number. */
type RegisteredClaims = JsonObject & { exp?: number; nbf?: number; iat?: number };

/** In the order in which they are made: the first that fails names the refusal. */
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
  // Who comes without a service's mark is nobody of ours, before it is asked which service and what for.
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

/** RFC 6749 section 3.3; we name none that is longer. */
const SCOPE_TOKEN = /^[!#-[\]-~]{1,128}$/;

export function isScope(text: unknown): text is string {
  return typeof text === "string" && SCOPE_TOKEN.test(text);
}

/** What a token may be used for: text separated by blanks. Another form of the claim says nothing. */
export function scopesOf({ scope }: JsonObject): readonly string[] {
  return typeof scope === "string" ? scope.split(" ") : [];
}

/** What a token has where a check looks: the value of its claim, or its claims and their values. */
export function seenBy({ claims: names }: ClaimCheck, claims: JsonObject, { requiredClaims }: ClaimRules): unknown {
  const seen = (names ?? [...requiredClaims.keys()]).map((name) => [name, own(claims, name)] as const);
  return names?.length === 1 ? seen[0]![1] : Object.fromEntries(seen);
}

/**
 * Checks the claims of a token whose signature is good.
 *
 * @param now seconds since the epoch
 * @returns why the token is refused, or undefined
 */
export function refusalOfClaims(claims: JsonObject, rules: ClaimRules, now: number): Reason | undefined {
  return mistypedClaim(claims) === undefined ? failedCheck(claims, rules, now) : "claims_malformed";
}

/** The same, for claims whose types are known to be right. */
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
