/** The HTTP status of a rejected request. */
export type RefusalStatus = 400 | 401 | 403 | 503;

interface ReasonFacts {
  readonly status: RefusalStatus;
  /** The `error` of the challenge (RFC 6750 section 3.1); undefined: the challenge has none, or there is no challenge. */
  readonly error: "invalid_request" | "invalid_token" | "insufficient_scope" | undefined;
  /** For logs and people; clients learn only the status and the error. */
  readonly meaning: string;
}

/**
 * Every reason to reject a request. The table is closed: its names are the type `Reason`, so a reason without a status, an
 * error code and a meaning does not compile, and no other code can invent one. RFC 6750 has one error code,
 * `insufficient_scope`, for every valid token that does not grant access.
 */
export const REASONS = Object.freeze({
  token_missing: { status: 401, error: undefined, meaning: "no Bearer token was sent" },
  authorization_malformed: {
    status: 400,
    error: "invalid_request",
    meaning: "the Authorization header is not exactly one Bearer token",
  },
  token_malformed: { status: 401, error: "invalid_token", meaning: "not a well-formed compact JWS" },
  token_too_large: { status: 401, error: "invalid_token", meaning: "larger than the size limit for tokens" },
  header_not_allowed: { status: 401, error: "invalid_token", meaning: "a header parameter is missing or not allowed" },
  algorithm_not_allowed: { status: 401, error: "invalid_token", meaning: "the algorithm is not allowed" },
  typ_not_allowed: { status: 401, error: "invalid_token", meaning: "another type of token" },
  key_unknown: { status: 401, error: "invalid_token", meaning: "signed with a key that is in no trusted key set" },
  signature_invalid: {
    status: 401,
    error: "invalid_token",
    meaning: "the signature does not match: the token was tampered with or forged",
  },
  claims_malformed: {
    status: 401,
    error: "invalid_token",
    meaning: "a registered claim is missing or has a wrong type",
  },
  token_expired: { status: 401, error: "invalid_token", meaning: "the token has expired (exp)" },
  token_not_yet_valid: { status: 401, error: "invalid_token", meaning: "nbf or iat is in the future" },
  lifetime_exceeded: { status: 401, error: "invalid_token", meaning: "the lifetime is longer than maxTokenLifetime" },
  issuer_mismatch: { status: 401, error: "invalid_token", meaning: "from another issuer" },
  audience_mismatch: { status: 401, error: "invalid_token", meaning: "meant for another audience" },
  token_revoked: { status: 401, error: "invalid_token", meaning: "the token, its service or its key was revoked" },
  claim_mismatch: {
    status: 403,
    error: "insufficient_scope",
    meaning: "valid token, but a required claim is missing or different",
  },
  caller_not_allowed: {
    status: 403,
    error: "insufficient_scope",
    meaning: "valid token, but this caller is not allowed",
  },
  insufficient_scope: {
    status: 403,
    error: "insufficient_scope",
    meaning: "valid token, but a required scope is missing",
  },
  keys_unavailable: { status: 503, error: undefined, meaning: "no key set has been fetched yet" },
} as const satisfies Readonly<Record<string, ReasonFacts>>);

export type Reason = keyof typeof REASONS;

/** Returns what a reason means in words, for logs and people. Clients are told less. */
export function meaningOf(reason: Reason): string {
  return REASONS[reason].meaning;
}
