import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent, RefusalDetails } from "../telemetry/events.ts";
import { CLAIM_CHECKS, seenBy } from "../protocol/claims.ts";
import type { DecodedJwt } from "../protocol/jwt.ts";
import type { Reason } from "../protocol/reasons.ts";
import type { IssuerDocuments } from "./issuer-documents.ts";
import type { ResolvedIssuer } from "./verifier-options.ts";

/** An issuer with the documents that it publishes. */
export type KnownIssuer = ResolvedIssuer & IssuerDocuments;

/** The parts of a token that events describe. */
export type TokenFacts = Pick<DecodedJwt, "claims" | "header">;

/** Emits an event about a rejected token, or one that `reportOnly` accepts. */
export type EmitRefusal = (
  type: "refused" | "would_refuse",
  reason: Reason,
  token?: TokenFacts,
  issuer?: KnownIssuer,
) => void;

export function createEmitRefusal(emit: OnVerifierEvent, clock: Clock): EmitRefusal {
  return (type, reason, token, issuer) =>
    emit({ type, reason, ...(token && detailsOf(reason, token, issuer, Math.floor(clock.now() / 1000))) });
}

const MAX_DETAIL = 256;
/** Invisible characters and line separators, with which an attacker could forge or hide a line of a log. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/gu;
/** Reasons that a wrong clock can cause. */
const CLOCK_REASONS: readonly Reason[] = ["token_expired", "token_not_yet_valid"];

/** Describes a rejection: the expected and actual values, never the token. */
function detailsOf(
  reason: Reason,
  { header, claims }: TokenFacts,
  issuer: KnownIssuer | undefined,
  now: number,
): RefusalDetails {
  const check = CLAIM_CHECKS.find((one) => one.reason === reason);
  const isAlgorithm = reason === "algorithm_not_allowed";
  const details: RefusalDetails = {};
  const all = {
    kid: header.kid,
    jti: claims["jti"],
    sub: claims["sub"],
    expected: issuer && (isAlgorithm ? [...issuer.algorithms].join(" or ") : check?.expected(issuer.rules, now)),
    seen: isAlgorithm ? header.alg : check && (issuer ? seenBy(check, claims, issuer.rules) : claims["iss"]),
  };
  for (const [name, value] of Object.entries(all)) {
    if (value === undefined) continue;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    details[name as keyof typeof all] = text.slice(0, MAX_DETAIL).replace(INVISIBLE, "?");
  }
  const offset = CLOCK_REASONS.includes(reason) ? issuer?.keySet.clockOffset : undefined;
  if (offset !== undefined) details.clockOffsetSeconds = offset;
  return details;
}
