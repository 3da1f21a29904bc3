import type { JsonObject } from "./strict-json.ts";
import type { JwtHeader } from "./jwt.ts";

/**
 * Who called: the facts of a verified token. Deep-frozen; the objects in `claims` and `header` have no prototype, so
 * that nothing is read from them that the token did not say.
 */
export interface Caller {
  /** The calling service: the `sub` claim, else the `service` claim, where one of them is a string. */
  readonly service: string | undefined;
  readonly claims: Readonly<JsonObject>;
  readonly header: Readonly<JwtHeader>;
}

export type Decision = { readonly allowed: true; readonly caller: Caller } | Refusal;

export interface Refusal {
  readonly allowed: false;
  readonly reason: Reason;
  readonly status: 400 | 401 | 403 | 503;
}

interface ReasonFacts {
  readonly status: Refusal["status"];
  /** The `error` of the challenge (RFC 6750 section 3.1); absent where the caller sent no credentials at all. */
  readonly error?: "invalid_request" | "invalid_token" | "insufficient_scope";
  /** For logs and people. The caller is told less. */
  readonly meaning: string;
}

/** Every way of being refused. Closed: nothing else invents a reason. */
const REASONS = {
  token_missing: { status: 401, meaning: "no Bearer token was sent" },
  authorization_malformed: {
    status: 400,
    error: "invalid_request",
    meaning: "the Authorization header is not one Bearer token",
  },
  token_malformed: { status: 401, error: "invalid_token", meaning: "not a well-formed compact JWS" },
  token_too_large: { status: 401, error: "invalid_token", meaning: "larger than a token may be" },
  header_not_allowed: { status: 401, error: "invalid_token", meaning: "a header parameter that is never accepted" },
  algorithm_not_allowed: { status: 401, error: "invalid_token", meaning: "an algorithm that is not accepted here" },
  typ_not_allowed: { status: 401, error: "invalid_token", meaning: "another kind of token" },
  key_unknown: { status: 401, error: "invalid_token", meaning: "signed by a key that no trusted key set has" },
  signature_invalid: {
    status: 401,
    error: "invalid_token",
    meaning: "the signature does not match: changed or forged",
  },
  claims_malformed: { status: 401, error: "invalid_token", meaning: "a registered claim is missing or mistyped" },
  token_expired: { status: 401, error: "invalid_token", meaning: "its exp has passed" },
  token_not_yet_valid: { status: 401, error: "invalid_token", meaning: "its nbf or iat lies in the future" },
  lifetime_exceeded: { status: 401, error: "invalid_token", meaning: "it lives longer than this verifier accepts" },
  issuer_mismatch: { status: 401, error: "invalid_token", meaning: "another issuer" },
  audience_mismatch: { status: 401, error: "invalid_token", meaning: "meant for another audience" },
  claim_mismatch: {
    status: 403,
    error: "insufficient_scope",
    meaning: "a good token without the claims this door asks for",
  },
  keys_unavailable: { status: 503, meaning: "no key set could be had yet" },
} as const satisfies Record<string, ReasonFacts>;

export type Reason = keyof typeof REASONS;

const REALM = 'Bearer realm="microservices"';

/** What a reason means in words, for logs and people. */
export function meaningOf(reason: Reason): string {
  return REASONS[reason].meaning;
}

export function refuse(reason: Reason): Refusal {
  return Object.freeze({ allowed: false, reason, status: REASONS[reason].status });
}

/**
 * The `WWW-Authenticate` value for a refusal (RFC 6750 section 3): which class of error, and no more.
 * Undefined where no credential could change the answer.
 */
export function challengeFor(reason: Reason): string | undefined {
  const facts: ReasonFacts = REASONS[reason];
  if (facts.status === 503) return undefined;
  // A challenge has one parameter at least (RFC 6750 section 3).
  return facts.error === undefined ? REALM : `${REALM}, error="${facts.error}"`;
}
