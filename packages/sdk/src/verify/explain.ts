import { systemClock, type Clock } from "../runtime/clock.ts";
import { CLAIM_CHECKS, mistypedClaim, seenBy, type ClaimCheck } from "../protocol/claims.ts";
import { meaningOf, type Reason } from "../protocol/reasons.ts";
import { decodeJwt, type DecodedJwt } from "../protocol/jwt.ts";
import { isRevoked } from "../protocol/revocations.ts";
import { documentsOf } from "./issuer-documents.ts";
import { verifySignature } from "../crypto/signature.ts";

import { resolveVerifierOptions, type ResolvedIssuer, type VerifierOptions } from "./verifier-options.ts";

/** One check of a verifier, and how it went. */
export interface Check {
  readonly name: string;
  /** `reported`: failed, and let pass by `reportOnly`. */
  readonly outcome: "passed" | "failed" | "reported" | "not checked";
  /** What the check wants, and what the token has. */
  readonly expected: string | undefined;
  readonly seen: string | undefined;
  /** Of a check that failed or is reported: the reason that a verifier would give. */
  readonly reason: Reason | undefined;
}

export interface Explanation {
  /** What a verifier with these options says; undefined where the keys to say it with are missing. */
  readonly allowed: boolean | undefined;
  readonly checks: readonly Check[];
  /** What the token says of itself, where it could be read at all. Not proven unless it is allowed. */
  readonly token: Pick<DecodedJwt, "header" | "claims"> | undefined;
}

/** Checks of the form, in the order in which `decodeJwt` makes them, and what each refuses with. */
const FORM: readonly (readonly [name: string, ...reasons: Reason[]])[] = [
  ["form", "token_malformed", "token_too_large"],
  ["algorithm", "algorithm_not_allowed"],
  ["header", "header_not_allowed"],
  ["typ", "typ_not_allowed"],
];
const NAMES: Partial<Record<Reason, string>> = {
  token_expired: "exp",
  token_not_yet_valid: "nbf and iat",
  lifetime_exceeded: "lifetime",
  issuer_mismatch: "iss",
  audience_mismatch: "aud",
  claim_mismatch: "required claims",
  caller_not_allowed: "allowed callers",
  insufficient_scope: "scope",
};
const nameOf = ({ reason }: ClaimCheck) => NAMES[reason] ?? reason;
const AFTER_FORM = ["issuer is known", "key", "signature", "types of claims"];

/**
 * Makes every check that a verifier with these options makes, also those behind the first that fails, for somebody who
 * wants to know why a token is refused. Without `jwksUri`, or an `issuer` that leads to one, what needs keys is left out.
 *
 * @throws CountersignError `invalid_option`
 */
export async function explainToken(
  token: unknown,
  options: VerifierOptions = {},
  clock: Clock = systemClock,
): Promise<Explanation> {
  const trusts = resolveVerifierOptions(options);
  const checks: Check[] = [];
  const add = (name: string, outcome: Check["outcome"], details: Partial<Check> = {}) =>
    checks.push({ name, outcome, expected: undefined, seen: undefined, reason: undefined, ...details });
  const judge = (name: string, reason: Reason, holds: boolean, expected?: unknown, seen?: unknown) =>
    add(name, holds ? "passed" : "failed", {
      expected: textOf(expected),
      seen: textOf(seen),
      reason: holds ? undefined : reason,
    });

  const decoded = decodeJwt(token);
  const failedForm = decoded.ok ? FORM.length : FORM.findIndex(([, ...reasons]) => reasons.includes(decoded.reason));
  for (const [i, [name]] of FORM.entries()) {
    if (!decoded.ok && i === failedForm)
      add(name, "failed", { reason: decoded.reason, seen: meaningOf(decoded.reason) });
    else add(name, i < failedForm ? "passed" : "not checked");
  }
  if (!decoded.ok) {
    for (const name of [...AFTER_FORM, ...CLAIM_CHECKS.map(nameOf), "revocation"]) add(name, "not checked");
    return { allowed: false, checks, token: undefined };
  }

  const { header, claims, algorithm, signingInput, signature } = decoded.jwt;
  const issuers = trusts.map(({ rules }) => rules.issuer);
  const trust = trusts.length === 1 ? trusts[0] : trusts.find(({ rules }) => rules.issuer === claims["iss"]);
  judge("issuer is known", "issuer_mismatch", trust !== undefined, issuers.join(" or ") || "any", claims["iss"]);
  const { rules, enforced, algorithms: usable } = trust ?? trusts[0]!;
  checks[1] = { ...checks[1]!, expected: [...usable].join(" or "), seen: header.alg };
  if (!usable.has(algorithm)) checks[1] = { ...checks[1], outcome: "failed", reason: "algorithm_not_allowed" };

  const published =
    trust === undefined || !hasSource(trust) ? undefined : documentsOf(trust, undefined, clock, () => {});
  if (published === undefined) {
    add("key", "not checked", { seen: header.kid });
    add("signature", "not checked");
  } else {
    const { keySet, feed } = published;
    const [key] = await Promise.all([keySet.find(header.kid, trust!.maxStale), feed?.news(clock.monotonic())]);
    const reason = key === "unavailable" ? "keys_unavailable" : "key_unknown";
    const expected =
      `a key of ${keySet.source.name}` + (key === "unavailable" ? `: ${keySet.health(0).lastError}` : "");
    judge("key", reason, typeof key === "object", expected, header.kid);
    if (typeof key !== "object") add("signature", "not checked");
    else if (key.algorithm !== algorithm) judge("signature", "algorithm_not_allowed", false, key.algorithm, algorithm);
    else judge("signature", "signature_invalid", verifySignature(key, signingInput, signature), `by ${key.kid}`);
  }

  const mistyped = mistypedClaim(claims);
  judge("types of claims", "claims_malformed", mistyped === undefined, undefined, mistyped);
  const now = Math.floor(clock.now() / 1000);
  for (const check of CLAIM_CHECKS) {
    if (mistyped !== undefined) add(nameOf(check), "not checked");
    else {
      const holds = !check.fails(claims, rules, now);
      judge(nameOf(check), check.reason, holds, check.expected(rules, now) ?? "any", seenBy(check, claims, rules));
      if (!holds && !check.fails(claims, enforced, now)) checks.push({ ...checks.pop()!, outcome: "reported" });
    }
  }
  const revocations = published?.feed?.current(clock.monotonic());
  if (revocations === undefined) add("revocation", "not checked");
  else judge("revocation", "token_revoked", !isRevoked(revocations, header.kid, claims), "not listed", claims["jti"]);
  published?.keySet.close();
  published?.feed?.close();

  const failed = checks.some((check) => check.outcome === "failed");
  const allowed = failed ? false : published === undefined ? undefined : true;
  return { allowed, checks, token: { header, claims } };
}

function hasSource({ jwksUri, rules }: ResolvedIssuer): boolean {
  return jwksUri !== undefined || (rules.issuer !== undefined && URL.canParse(rules.issuer));
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : JSON.stringify(value);
}
