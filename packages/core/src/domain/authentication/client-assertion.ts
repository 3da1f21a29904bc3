import { refusalOfClaims, type ClaimRules, type DecodedJwt } from "countersign/protocol";
import { coversSubject, type WorkloadTrust } from "./workload-trust.ts";

/** Seconds that a service's own assertion is good for at most: so long its `jti` is remembered. */
const MAX_ASSERTION_LIFETIME = 300;
/** Seconds of difference between clocks that is forgiven. */
export const ASSERTION_TOLERANCE = 30;

const RULES: Omit<ClaimRules, "issuer" | "audience"> = {
  requiredClaims: new Map(),
  allow: undefined,
  scope: [],
  clockTolerance: ASSERTION_TOLERANCE,
  maxTokenLifetime: undefined,
};

/**
 * Whether a token whose signature is a service's says what an assertion of it must say (RFC 7523 section 3). Its `aud` is
 * this issuer and nothing else: one that also named another server, or an endpoint's URL, could be used there or have
 * been made for there (CVE-2025-27370). Pure.
 *
 * @param issuer this app's
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

/** Whether a token that a platform has signed is about the workload that is trusted. Pure. */
export function isTrustedWorkload({ header, claims }: DecodedJwt, trust: WorkloadTrust, now: number): boolean {
  const rules: ClaimRules = { ...RULES, issuer: trust.issuer, audience: [trust.audience] };
  return (
    isAssertion(header) && coversSubject(trust, claims["sub"]) && refusalOfClaims(claims, rules, now) === undefined
  );
}

/** T23: what somebody was issued to call others with is no proof of who it is. */
function isAssertion({ typ }: DecodedJwt["header"]): boolean {
  return typ === undefined || typ === "JWT";
}
