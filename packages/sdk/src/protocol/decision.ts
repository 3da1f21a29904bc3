import type { JsonObject } from "./strict-json.ts";
import type { JwtHeader } from "./jwt.ts";

/**
 * Who called: the facts of a verified token. Deep-frozen; the objects in `claims` and `header` have no prototype, so
 * that nothing is read from them that the token did not say.
 */
export interface Caller {
  /** The calling service: the `sub` claim, else the `service` claim, where one of them is a string. */
  readonly service: string | undefined;
  /** What the token may be used for: its `scope` claim, taken apart (RFC 6749 section 3.3). */
  readonly scopes: readonly string[];
  readonly claims: Readonly<JsonObject>;
  readonly header: Readonly<JwtHeader>;
}

export type Decision = { readonly allowed: true; readonly caller: Caller } | Refusal;

export interface Refusal {
  readonly allowed: false;
  readonly reason: Reason;
  readonly status: 400 | 401 | 403 | 503;
  /** With `insufficient_scope`: all the scopes that are asked for, separated by blanks. */
  readonly scope?: string | undefined;
}

interface ReasonFacts {
  readonly status: Refusal["status"];
  /** The `error` of the challenge (RFC 6750 section 3.1); absent where the caller sent no credentials at all. */
  readonly error?: "invalid_request" | "invalid_token" | "insufficient_scope";
}

/** Every way of being refused. Closed: nothing else invents a reason. */
export type Reason =
  | "token_missing"
  | "authorization_malformed"
  | "token_malformed"
  | "token_too_large"
  | "header_not_allowed"
  | "algorithm_not_allowed"
  | "typ_not_allowed"
  | "key_unknown"
  | "signature_invalid"
  | "claims_malformed"
  | "token_expired"
  | "token_not_yet_valid"
  | "lifetime_exceeded"
  | "issuer_mismatch"
  | "audience_mismatch"
  | "token_revoked"
  | "claim_mismatch"
  | "caller_not_allowed"
  | "insufficient_scope"
  | "keys_unavailable";

/** A bad token, unless it is said here to be something else. */
const INVALID_TOKEN: ReasonFacts = { status: 401, error: "invalid_token" };
/** A good token that is not for this door: RFC 6750 has one word for all of it. */
const FORBIDDEN: ReasonFacts = { status: 403, error: "insufficient_scope" };
const OTHERS: { readonly [reason in Reason]?: ReasonFacts } = {
  token_missing: { status: 401 },
  authorization_malformed: { status: 400, error: "invalid_request" },
  claim_mismatch: FORBIDDEN,
  caller_not_allowed: FORBIDDEN,
  insufficient_scope: FORBIDDEN,
  keys_unavailable: { status: 503 },
};

const factsOf = (reason: Reason) => OTHERS[reason] ?? INVALID_TOKEN;

const REALM = 'Bearer realm="microservices"';

const MEANINGS: Readonly<Record<Reason, string>> = {
  token_missing: "no Bearer token was sent",
  authorization_malformed: "the Authorization header is not one Bearer token",
  token_malformed: "not a well-formed compact JWS",
  token_too_large: "larger than a token may be",
  header_not_allowed: "a header parameter that is never accepted",
  algorithm_not_allowed: "an algorithm that is not accepted here",
  typ_not_allowed: "another kind of token",
  key_unknown: "signed by a key that no trusted key set has",
  signature_invalid: "the signature does not match: changed or forged",
  claims_malformed: "a registered claim is missing or mistyped",
  token_expired: "its exp has passed",
  token_not_yet_valid: "its nbf or iat lies in the future",
  lifetime_exceeded: "it lives longer than this verifier accepts",
  issuer_mismatch: "another issuer",
  audience_mismatch: "meant for another audience",
  token_revoked: "it, its service or its key was revoked",
  claim_mismatch: "a good token without the claims this door asks for",
  caller_not_allowed: "a good token of a service that this door does not let in",
  insufficient_scope: "a good token without the scopes this door asks for",
  keys_unavailable: "no key set could be had yet",
};

/** What a reason means in words, for logs and people. The caller is told less. */
export function meaningOf(reason: Reason): string {
  return MEANINGS[reason];
}

export function refuse(reason: Reason, scope?: string): Refusal {
  return Object.freeze({ allowed: false, reason, status: factsOf(reason).status, ...(scope && { scope }) });
}

/**
 * The `WWW-Authenticate` value for a refusal (RFC 6750 section 3): which class of error, and no more.
 * Undefined where no credential could change the answer.
 *
 * @param scope with `insufficient_scope`: what is asked for, for the caller to ask for too
 */
export function challengeFor(reason: Reason, scope?: string): string | undefined {
  const facts = factsOf(reason);
  if (facts.status === 503) return undefined;
  // A challenge has one parameter at least (RFC 6750 section 3).
  if (facts.error === undefined) return REALM;
  return `${REALM}, error="${facts.error}"${scope === undefined ? "" : `, scope="${scope}"`}`;
}
