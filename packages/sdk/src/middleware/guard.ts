import { checkOption } from "../config/option-checks.ts";
import type { Countersign } from "../instance/countersign.ts";
import { defaultInstance } from "../instance/default-instance.ts";
import type { OnVerifierEvent } from "../telemetry/events.ts";
import { failedCheck } from "../protocol/claims.ts";
import { challengeFor } from "../protocol/challenge.ts";
import { refuse, type Caller, type Refusal } from "../protocol/decision.ts";
import type { Reason } from "../protocol/reasons.ts";
import { CountersignError } from "../protocol/errors.ts";
import { createVerifier, type Verifier } from "../verify/verifier.ts";
import { resolveVerifierOptions, type ResolvedIssuer, type VerifierOptions } from "../verify/verifier-options.ts";

/** Options of `verifyMicroservice`: those of a verifier, the instance, and `optional`. */
export interface GuardOptions extends VerifierOptions {
  /** The instance that provides keys and events that the options do not set. Default: the one that `init` created. */
  countersign?: Countersign | undefined;
  /**
   * Accept requests without a token, or with a valid token that lacks the required claims, such as an end user's token with
   * any audience. They continue without a caller, and the route decides. Invalid tokens are still rejected. Default false.
   */
  optional?: boolean | undefined;
}

/** `caller` is undefined only on optional routes. */
export type GuardOutcome = { allowed: true; caller: Caller | undefined } | { allowed: false; answer: RefusalAnswer };

/** The HTTP response to a rejected request, without details (RFC 6750 section 3.1). */
export interface RefusalAnswer {
  readonly status: Refusal["status"];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Decides about a request by its Authorization fields and its URL or path. All frameworks use this guard. */
export type Guard = (authorization: readonly string[], url?: string) => Promise<GuardOutcome>;

/** @throws CountersignError `invalid_option` immediately; the guard rejects with `not_initialised` before `init` */
export function createGuard({ countersign, optional = false, ...options }: GuardOptions = {}): Guard {
  checkOption(typeof optional === "boolean", "optional", "true or false", optional);
  const issuers = resolveVerifierOptions(options); // throws when the route is defined, not on its first request
  // If only some issuers use reportOnly, events do not show which issuer they are about, so the verifier decides alone.
  const enforcesItself = optional && issuers.every(({ rules, enforced }) => rules === enforced);
  const open = () => {
    const instance = countersign ?? defaultInstance();
    const verifierOptions = optional ? optionsIfOptional(options, enforcesItself, instance?.onEvent) : options;
    return verifierOf(verifierOptions, instance);
  };
  let verifier: Verifier | undefined;
  return async (authorization, url) => {
    verifier ??= open(); // on the first request, because routes are often defined before `init`
    const hasTwo = hasQueryToken(url) && authorization.some((field) => /^bearer\b/i.test(field));
    const decision = await verifier.verifyAuthorization(hasTwo ? [...authorization, ""] : authorization);
    const refusal = decision.allowed ? enforcesItself && enforce(decision.caller, issuers) : decision;
    if (!refusal) return decision as GuardOutcome;
    if (optional && isAbsence(refusal.reason)) return { allowed: true, caller: undefined };
    return { allowed: false, answer: answerTo(refusal) };
  };
}

/**
 * Reports whether the query contains an access_token. We never accept it (RFC 6750 section 2.3), but next to an
 * Authorization header it makes two tokens, which section 3.1 forbids. Parsed by the URL standard; frameworks differ.
 */
function hasQueryToken(url: unknown): boolean {
  const start = typeof url === "string" ? url.indexOf("?") : -1;
  if (typeof url !== "string" || start === -1) return false;
  const query = url.slice(start);
  return /access_token|%/.test(query) && new URLSearchParams(query).has("access_token"); // parsing every query would be slower
}

/**
 * Reports whether the request has no service token at all, as opposed to an invalid one. For claim_mismatch, every check
 * before requiredClaims has passed.
 */
function isAbsence(reason: Reason): boolean {
  return reason === "token_missing" || reason === "claim_mismatch";
}

/**
 * Returns the options of an optional route's verifier. An end user's token can have another audience, which is checked
 * before the claim that identifies it as an end user's. So the verifier only reports audience, allow and scope, and the
 * guard enforces them.
 *
 * @param listener receives the events if the options have no `onEvent`
 */
function optionsIfOptional(
  options: VerifierOptions,
  enforcesItself: boolean,
  listener?: OnVerifierEvent,
): VerifierOptions {
  const { jwksUri, onEvent: emit = listener } = options;
  const onEvent: OnVerifierEvent = (event) => {
    if (event.type === "refused" && isAbsence(event.reason)) return undefined; // the route accepts these requests
    return emit?.(enforcesItself && event.type === "would_refuse" ? { ...event, type: "refused" } : event);
  };
  const withListener = emit === undefined ? options : { ...options, onEvent };
  if (!enforcesItself) return withListener;
  const issuers = Array.isArray(jwksUri) ? jwksUri.map((one: object) => ({ ...one, reportOnly: true })) : jwksUri;
  return { ...withListener, jwksUri: issuers as VerifierOptions["jwksUri"], reportOnly: true };
}

/** Returns why a verified service token is rejected on this route. */
function enforce({ claims }: Caller, issuers: readonly ResolvedIssuer[]): Refusal | undefined {
  const { rules } = issuers.find((issuer) => issuers.length === 1 || issuer.rules.issuer === claims["iss"])!;
  // The verifier has checked the times with its own clock.
  const reason = failedCheck(claims, { ...rules, clockTolerance: Infinity }, 0);
  return reason && refuse(reason, reason === "insufficient_scope" ? rules.scope.join(" ") : undefined);
}

function verifierOf(options: VerifierOptions, instance: Countersign | undefined): Verifier {
  if (instance !== undefined) return instance.createVerifier(options);
  if (options.jwksUri !== undefined || options.issuer !== undefined) return createVerifier(options);
  throw new CountersignError(
    "not_initialised",
    "verifyMicroservice: no keys to verify with; call init before the first request, or set jwksUri",
  );
}

const MESSAGES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  503: "Service Unavailable",
} as const satisfies Record<Refusal["status"], string>;

function answerTo({ reason, status, scope }: Refusal): RefusalAnswer {
  const headers: Record<string, string> = {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store",
  };
  const challenge = challengeFor(reason, scope);
  if (challenge !== undefined) headers["www-authenticate"] = challenge;
  if (status === 503) headers["retry-after"] = "1";
  return { status, headers, body: JSON.stringify({ message: MESSAGES[status] }) };
}
