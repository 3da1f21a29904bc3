import { LIMITS, mistypedClaim, problemOfJson, type Algorithm, type JsonObject } from "countersign/protocol";
import type { SigningKey } from "../keys/signing-key.ts";

/** A request to sign a token. */
export interface Grant {
  readonly payload: JsonObject;
  /** Claims that the core sets. The payload has no other values for them. */
  readonly coreClaims?: JsonObject;
  /** The `iss`, unless the payload has one; undefined: no `iss` of the core. */
  readonly issuer: string | undefined;
  /** Seconds. */
  readonly validity: number;
  /** Seconds; caps the validity. */
  readonly maxLifetime?: number;
}

export type BuiltClaims = { ok: true; claims: JsonObject; clamped: boolean } | { ok: false; problem: string };

/**
 * Builds the claims of a token: the payload, `iss`, `iat`, `exp` and `jti`. Caps `exp` at the expiry of the signing key,
 * because verifiers reject the token from then on.
 *
 * @param now milliseconds since the epoch by the store's clock
 * @param jti used unless the payload has one
 */
export function buildClaims(grant: Grant, key: SigningKey, now: number, jti: string): BuiltClaims {
  for (const name of ["exp", "iat"]) {
    if (Object.hasOwn(grant.payload, name)) {
      return refuse(`payload: must not contain '${name}'; set 'validity' instead`);
    }
  }
  const iat = Math.floor(now / 1000);
  const asked = iat + grant.validity;
  const exp = Math.min(asked, latestExpiry(key), iat + (grant.maxLifetime ?? Infinity));
  const { issuer, payload, coreClaims } = grant;
  // Spreads come last: adding a member to a spread object costs more than everything else in this function.
  const claims: JsonObject =
    issuer === undefined
      ? { jti, iat, exp, ...coreClaims, ...payload }
      : { iss: issuer, jti, iat, exp, ...coreClaims, ...payload };
  const mistyped = mistypedClaim(claims);
  const isIssuer = mistyped !== "iss" && issuer?.isWellFormed() !== false;
  if (!isIssuer && !Object.hasOwn(payload, "iss")) return refuse("jwksDomain: cannot be used as an issuer");
  if (mistyped !== undefined)
    return refuse(`payload: claim '${mistyped}' has a type that RFC 7519 section 4.1 does not allow`);
  if (holdsUnsafeInteger(payload)) {
    return refuse("payload: an integer beyond 2^53 would lose digits, send it as a string");
  }
  return { ok: true, claims, clamped: exp < asked };
}

/** Returns why verifiers would reject these claims, or undefined if they are valid. */
export function problemOfClaims(claims: JsonObject): string | undefined {
  switch (problemOfJson(claims, LIMITS.jsonDepth)) {
    case undefined:
      return undefined;
    case "depth":
      return `payload: must not be nested deeper than ${LIMITS.jsonDepth} levels`;
    case "forbidden-name":
      return "payload: must not contain the names '__proto__', 'constructor' or 'prototype'";
    default:
      return "payload: cannot be encoded in a way that all verifiers read identically";
  }
}

/** Reports whether a number might have lost digits when parsed, and so mean another user ID (RFC 7493 section 2.2). */
function holdsUnsafeInteger(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(holdsUnsafeInteger);
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** Returns the latest `exp` of a key's tokens, seconds since the epoch. */
export function latestExpiry(key: SigningKey): number {
  return key.verifiesUntil === null ? Infinity : Math.floor(key.verifiesUntil / 1000);
}

/** The `typ` of the header: `at+jwt` is an OAuth access token (RFC 9068 section 2.1). */
export type TokenType = "JWT" | "at+jwt";

/** Builds the protected header, with its members in the order of existing cores. */
export function buildHeader(key: SigningKey, typ: TokenType = "JWT"): { alg: Algorithm; typ: TokenType; kid: string } {
  return { alg: key.algorithm, typ, kid: key.kid };
}

function refuse(problem: string): BuiltClaims {
  return { ok: false, problem };
}
