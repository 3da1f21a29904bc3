import { systemClock, type Clock } from "../runtime/clock.ts";
import type { Algorithm } from "../protocol/algorithms.ts";
import { CLAIM_CHECKS, mistypedClaim, seenBy, type ClaimCheck, type ClaimRules } from "../protocol/claims.ts";
import { meaningOf, type Reason } from "../protocol/reasons.ts";
import { decodeJwt, type DecodedJwt } from "../protocol/jwt.ts";
import { isRevoked } from "../protocol/revocations.ts";
import type { JsonObject } from "../protocol/strict-json.ts";
import { documentsOf, type IssuerDocuments } from "./issuer-documents.ts";
import { verifySignature } from "../crypto/signature.ts";
import { reasonOfMissingKey } from "./verifier.ts";
import { resolveVerifierOptions, type ResolvedIssuer, type VerifierOptions } from "./verifier-options.ts";

/** One check of a verifier and its result. */
export interface Check {
  readonly name: string;
  /** `reported`: failed, but accepted because of `reportOnly`. */
  readonly outcome: "passed" | "failed" | "reported" | "not checked";
  /** The value that the check requires, and the value in the token. */
  readonly expected: string | undefined;
  readonly seen: string | undefined;
  /** The reason for rejection, if the check failed or is reported. */
  readonly reason: Reason | undefined;
}

export interface Explanation {
  /** True if a verifier with these options accepts the token; undefined if the keys to verify it are missing. */
  readonly allowed: boolean | undefined;
  readonly checks: readonly Check[];
  /** The decoded token, unverified unless it is allowed. Undefined if it cannot be decoded. */
  readonly token: Pick<DecodedJwt, "header" | "claims"> | undefined;
}

/** The checks of `decodeJwt` in their order, and the reasons of each. */
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
 * Runs every check of a verifier with these options, also those after the first that fails, to find out why a token is
 * rejected. Without a `jwksUri`, or an `issuer` that is a URL, signature and revocation are not checked.
 *
 * @throws CountersignError `invalid_option`
 */
export async function explainToken(
  token: unknown,
  options: VerifierOptions = {},
  clock: Clock = systemClock,
): Promise<Explanation> {
  const issuers = resolveVerifierOptions(options);
  const report = new Report();
  const decoded = decodeJwt(token);
  explainForm(report, decoded);
  if (!decoded.ok) {
    for (const name of [...AFTER_FORM, ...CLAIM_CHECKS.map(nameOf), "revocation"]) report.skip(name);
    return { allowed: false, checks: report.checks, token: undefined };
  }
  const { jwt } = decoded;
  const { header, claims } = jwt;

  const issuer = issuers.length === 1 ? issuers[0] : issuers.find(({ rules }) => rules.issuer === claims["iss"]);
  const names = issuers.map(({ rules }) => rules.issuer).join(" or ") || "any";
  report.judge("issuer is known", issuer !== undefined, "issuer_mismatch", names, claims["iss"]);
  const { rules, enforced, algorithms } = issuer ?? issuers[0]!;
  report.checks[1] = explainAlgorithm(jwt, algorithms);

  const documents =
    issuer === undefined || !hasSource(issuer) ? undefined : documentsOf(issuer, undefined, clock, () => {});
  if (documents === undefined) {
    report.skip("key", header.kid);
    report.skip("signature");
  } else await explainSignature(report, jwt, documents, issuer!.maxStale, clock);

  explainClaims(report, claims, rules, enforced, Math.floor(clock.now() / 1000));

  const revocations = documents?.feed?.current(clock.monotonic());
  if (revocations === undefined) report.skip("revocation");
  else {
    const isValid = !isRevoked(revocations, header.kid, claims);
    report.judge("revocation", isValid, "token_revoked", "not listed", claims["jti"]);
  }
  documents?.keySet.close();
  documents?.feed?.close();

  const failed = report.checks.some((check) => check.outcome === "failed");
  const allowed = failed ? false : documents === undefined ? undefined : true;
  return { allowed, checks: report.checks, token: { header, claims } };
}

class Report {
  readonly checks: Check[] = [];

  pass(name: string): void {
    this.#add(name, "passed", {});
  }

  fail(name: string, reason: Reason, seen: string): void {
    this.#add(name, "failed", { reason, seen });
  }

  skip(name: string, seen?: string): void {
    this.#add(name, "not checked", { seen });
  }

  judge(name: string, holds: boolean, reason: Reason, expected?: unknown, seen?: unknown): void {
    const values = { expected: textOf(expected), seen: textOf(seen) };
    if (holds) this.#add(name, "passed", values);
    else this.#add(name, "failed", { ...values, reason });
  }

  /** Marks the last check, which failed, as accepted by `reportOnly`. */
  forgiveLast(): void {
    this.checks.push({ ...this.checks.pop()!, outcome: "reported" });
  }

  #add(name: string, outcome: Check["outcome"], details: Partial<Check>): void {
    this.checks.push({ name, outcome, expected: undefined, seen: undefined, reason: undefined, ...details });
  }
}

/** `decodeJwt` stops at the first check that fails: those before it passed, those after it did not run. */
function explainForm(report: Report, decoded: ReturnType<typeof decodeJwt>): void {
  const failedAt = decoded.ok ? FORM.length : FORM.findIndex(([, ...reasons]) => reasons.includes(decoded.reason));
  for (const [i, [name]] of FORM.entries()) {
    if (i < failedAt) report.pass(name);
    else if (i > failedAt || decoded.ok) report.skip(name);
    else report.fail(name, decoded.reason, meaningOf(decoded.reason));
  }
}

function explainAlgorithm({ header, algorithm }: DecodedJwt, accepted: ReadonlySet<Algorithm>): Check {
  const isAccepted = accepted.has(algorithm);
  return {
    name: "algorithm",
    outcome: isAccepted ? "passed" : "failed",
    expected: [...accepted].join(" or "),
    seen: header.alg,
    reason: isAccepted ? undefined : "algorithm_not_allowed",
  };
}

async function explainSignature(
  report: Report,
  { header, algorithm, signingInput, signature }: DecodedJwt,
  { keySet, feed }: IssuerDocuments,
  maxStale: number,
  clock: Clock,
): Promise<void> {
  const [key] = await Promise.all([keySet.find(header.kid, maxStale), feed?.news(clock.monotonic())]);
  const expected = `a key of ${keySet.source.name}`;
  if (typeof key === "string") {
    const detail = key === "unavailable" ? `: ${keySet.health(0).lastError}` : "";
    report.judge("key", false, reasonOfMissingKey(key), expected + detail, header.kid);
    report.skip("signature");
    return;
  }
  report.judge("key", true, "key_unknown", expected, header.kid);
  if (key.algorithm !== algorithm) {
    report.judge("signature", false, "algorithm_not_allowed", key.algorithm, algorithm);
  } else {
    const isValid = verifySignature(key, signingInput, signature);
    report.judge("signature", isValid, "signature_invalid", `by ${key.kid}`);
  }
}

function explainClaims(report: Report, claims: JsonObject, rules: ClaimRules, enforced: ClaimRules, now: number): void {
  const mistyped = mistypedClaim(claims);
  report.judge("types of claims", mistyped === undefined, "claims_malformed", undefined, mistyped);
  for (const check of CLAIM_CHECKS) {
    if (mistyped !== undefined) {
      report.skip(nameOf(check));
      continue;
    }
    const holds = !check.fails(claims, rules, now);
    const seen = seenBy(check, claims, rules);
    report.judge(nameOf(check), holds, check.reason, check.expected(rules, now) ?? "any", seen);
    if (!holds && !check.fails(claims, enforced, now)) report.forgiveLast();
  }
}

function hasSource({ jwksUri, rules }: ResolvedIssuer): boolean {
  return jwksUri !== undefined || (rules.issuer !== undefined && URL.canParse(rules.issuer));
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : JSON.stringify(value);
}
