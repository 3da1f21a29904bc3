import { LIMITS, mistypedClaim, problemOfJson, type Algorithm, type JsonObject } from "countersign/protocol";
import type { SigningKey } from "../keys/signing-key.ts";

/** What a caller asks the core to sign. */
export interface Grant {
  readonly payload: JsonObject;
  /** What the core says of itself; the payload has nothing else in these claims. */
  readonly said?: JsonObject;
  /** Becomes `iss` unless the payload has its own; undefined: then it has none. */
  readonly issuer: string | undefined;
  /** Seconds. */
  readonly validity: number;
  /** Seconds; a longer validity is cut down to it. */
  readonly maxLifetime?: number;
}

export type BuiltClaims = { ok: true; claims: JsonObject; clamped: boolean } | { ok: false; problem: string };

/**
 * The claims of a token: the payload, and `iss`, `iat`, `exp`, `jti`. The `exp` never passes the
 * moment its key stops verifying: a token outliving its key would die without anybody having said so.
 *
 * @param now milliseconds by the store's clock
 * @param jti used unless the payload has its own
 */
export function buildClaims(grant: Grant, key: SigningKey, now: number, jti: string): BuiltClaims {
  for (const name of ["exp", "iat"]) {
    if (Object.hasOwn(grant.payload, name)) {
      return refuse(`payload must not contain '${name}': it follows from the field 'validity'`);
    }
  }
  const iat = Math.floor(now / 1000);
  const asked = iat + grant.validity;
  const exp = Math.min(asked, latestExpiry(key), iat + (grant.maxLifetime ?? Infinity));
  const { issuer, payload, said } = grant;
  // What is spread comes last: adding a member to such an object costs more than all else that is done here.
  const claims: JsonObject =
    issuer === undefined ? { jti, iat, exp, ...said, ...payload } : { iss: issuer, jti, iat, exp, ...said, ...payload };
  const mistyped = mistypedClaim(claims);
  const isIssuer = mistyped !== "iss" && issuer?.isWellFormed() !== false;
  if (!isIssuer && !Object.hasOwn(payload, "iss")) return refuse("jwksDomain cannot be an issuer");
  if (mistyped !== undefined) return refuse(`payload: claim '${mistyped}' is not what RFC 7519 section 4.1 allows`);
  if (holdsUnsafeInteger(payload)) {
    return refuse("payload: a whole number beyond 2^53 would lose digits, send it as a string");
  }
  return { ok: true, claims, clamped: exp < asked };
}

/** Why a verifier would not read these claims, in words for who asked for them; undefined: it would. */
export function problemOfClaims(claims: JsonObject): string | undefined {
  switch (problemOfJson(claims, LIMITS.jsonDepth)) {
    case undefined:
      return undefined;
    case "depth":
      return `payload must not be nested deeper than ${LIMITS.jsonDepth} levels`;
    case "forbidden-name":
      return "payload must not contain the names '__proto__', 'constructor' or 'prototype'";
    default:
      return "payload cannot be written as a token that every verifier reads alike";
  }
}

/** Whether a number was read that is only near the one that was sent, and so may be another user's (RFC 7493 section 2.2). */
function holdsUnsafeInteger(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).some(holdsUnsafeInteger);
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

/** Seconds since the epoch: the last `exp` a key's tokens may have. */
export function latestExpiry(key: SigningKey): number {
  return key.verifiesUntil === null ? Infinity : Math.floor(key.verifiesUntil / 1000);
}

/** What a token says it is: `at+jwt` is an access token of OAuth (RFC 9068 section 2.1). */
export type TokenType = "JWT" | "at+jwt";

/** The protected header, in the order existing cores write it. */
export function buildHeader(key: SigningKey, typ: TokenType = "JWT"): { alg: Algorithm; typ: TokenType; kid: string } {
  return { alg: key.algorithm, typ, kid: key.kid };
}

function refuse(problem: string): BuiltClaims {
  return { ok: false, problem };
}
