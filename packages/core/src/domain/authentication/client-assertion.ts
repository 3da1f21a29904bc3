import { refusalOfClaims, type ClaimRules, type DecodedJwt } from "countersign/protocol";
import { coversSubject, type WorkloadTrust } from "./workload-trust.ts";

/** Seconds: the longest lifetime of a service's own assertion, for which its `jti` is stored. */
const MAX_ASSERTION_LIFETIME = 300;
/** Seconds of clock skew that are tolerated. */
export const ASSERTION_TOLERANCE = 30;

const RULES: Omit<ClaimRules, "issuer" | "audience"> = {
  requiredClaims: new Map(),
  allow: undefined,
  scope: [],
  clockTolerance: ASSERTION_TOLERANCE,
  maxTokenLifetime: undefined,
};

/**
 * Reports whether a token that the service has signed is a valid client assertion (RFC 7523 section 3). Its `aud` must be
 * this issuer alone. Otherwise another server could replay an assertion that it received, or trick the service into
 * creating one for it (CVE-2025-27370). Pure.
 *
 * @param issuer the issuer of this app
 * @param now seconds since the epoch
 */
export function isOwnAssertion({ header, claims }: DecodedJwt, service: string, issuer: string, now: number): boolean {
  const rules: ClaimRules = {
    ...RULES,
    issuer: service,
    audience: [issuer],
    requiredClaims: new Map([["sub", service]]),
  };
  if (!isAssertion(header) || refusalOfClaims(claims, rules, now) !== undefined) return false;
  const { aud, exp, jti } = claims as { aud: string | string[]; exp: number; jti?: string };
  if (typeof aud !== "string" && aud.length !== 1) return false;
  return jti !== undefined && jti !== "" && exp <= now + MAX_ASSERTION_LIFETIME + ASSERTION_TOLERANCE;
}

/** Reports whether a token that a platform has signed identifies the trusted workload. Pure. */
export function isTrustedWorkload({ header, claims }: DecodedJwt, trust: WorkloadTrust, now: number): boolean {
  const rules: ClaimRules = { ...RULES, issuer: trust.issuer, audience: [trust.audience] };
  return (
    isAssertion(header) && coversSubject(trust, claims["sub"]) && refusalOfClaims(claims, rules, now) === undefined
  );
}

/** T23: an access token (RFC 9068) does not authenticate its bearer. */
function isAssertion({ typ }: DecodedJwt["header"]): boolean {
  return typ === undefined || typ === "JWT";
}
