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

/** Options of `verifyMicroservice`: a verifier's, and where they come from. */
export interface GuardOptions extends VerifierOptions {
  /** The instance whose knowledge fills what the options leave out. Default: the one `init` made. */
  countersign?: Countersign | undefined;
  /**
   * True: a request without a token, or with a good one that lacks the required claims, such as an end user's, whatever
   * its audience, goes on without a caller; the route decides. A bad token is refused all the same. Default false.
   */
  optional?: boolean | undefined;
}

/** `caller` is undefined on optional routes only. */
export type GuardOutcome = { allowed: true; caller: Caller | undefined } | { allowed: false; answer: RefusalAnswer };

/** A refusal on the wire: tells little (RFC 6750 section 3.1). */
export interface RefusalAnswer {
  readonly status: Refusal["status"];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Decides about a request by its Authorization fields and its URL or path; every framework's guard is this one. */
export type Guard = (authorization: readonly string[], url?: string) => Promise<GuardOutcome>;

/** @throws CountersignError `invalid_option`, at once; `not_initialised`, at the first request that finds nothing initialised */
export function createGuard({ countersign, optional = false, ...options }: GuardOptions = {}): Guard {
  if (typeof optional !== "boolean") throw new CountersignError("invalid_option", "optional: expected true or false");
  const trusts = resolveVerifierOptions(options); // a mistake is found when the route is made, not when it is called
  // Where some of several issuers only report, events do not tell whose they are: the verifier decides alone.
  const decidesItself = optional && trusts.every(({ rules, enforced }) => rules === enforced);
  // At the first request, because routes are often defined before `init` is called.
  const open = () => {
    const instance = countersign ?? defaultInstance();
    return makeVerifier(optional ? forOptional(options, decidesItself, instance?.onEvent) : options, instance);
  };
  let verifier: Verifier | undefined;
  return async (authorization, url) => {
    verifier ??= open();
    const isTwice = hasQueryToken(url) && authorization.some((field) => /^bearer\b/i.test(field));
    const decision = await verifier.verifyAuthorization(isTwice ? [...authorization, ""] : authorization);
    const refusal = decision.allowed ? decidesItself && refusalAtDoor(decision.caller, trusts) : decision;
    if (!refusal) return decision as GuardOutcome;
    if (optional && isAbsence(refusal.reason)) return { allowed: true, caller: undefined };
    return { allowed: false, answer: answerTo(refusal) };
  };
}

/**
 * Whether a token stands in the query, where we read none: alone it is no token, but beside a header it is a second one,
 * and no request may have two (RFC 6750 sections 2.3 and 3.1). Read by the URL standard, not as frameworks may.
 */
function hasQueryToken(url: unknown): boolean {
  const start = typeof url === "string" ? url.indexOf("?") : -1;
  if (typeof url !== "string" || start === -1) return false;
  const query = url.slice(start);
  return /access_token|%/.test(query) && new URLSearchParams(query).has("access_token"); // reading all costs more than looking
}

/** Nobody of ours called, which is no attack. Of such a token all is good that is looked at before the required claims. */
function isAbsence(reason: Reason): boolean {
  return reason === "token_missing" || reason === "claim_mismatch";
}

/**
 * The options of an optional route's verifier. An end user's token has an audience of its own, or none, and is to be
 * known as theirs before it is refused for that: so the verifier only reports what the guard then refuses for.
 *
 * @param listener who is told where the options name nobody
 */
function forOptional(options: VerifierOptions, decidesItself: boolean, listener?: OnVerifierEvent): VerifierOptions {
  const tell = options.onEvent ?? listener;
  const onEvent: OnVerifierEvent = (event) => {
    if (event.type === "refused" && isAbsence(event.reason)) return undefined; // what lets a request go on is no refusal
    return tell?.(decidesItself && event.type === "would_refuse" ? { ...event, type: "refused" } : event);
  };
  const told = tell === undefined ? options : { ...options, onEvent };
  if (!decidesItself) return told;
  const { jwksUri } = options;
  const issuers = Array.isArray(jwksUri) ? jwksUri.map((one: object) => ({ ...one, reportOnly: true })) : jwksUri;
  return { ...told, jwksUri: issuers as VerifierOptions["jwksUri"], reportOnly: true };
}

/** What a good token of a service is refused for at this door. */
function refusalAtDoor({ claims }: Caller, trusts: readonly ResolvedIssuer[]): Refusal | undefined {
  const { rules } = trusts.find((trust) => trusts.length === 1 || trust.rules.issuer === claims["iss"])!;
  // Its times the verifier has looked at, by a clock of its own.
  const reason = failedCheck(claims, { ...rules, clockTolerance: Infinity }, 0);
  return reason && refuse(reason, reason === "insufficient_scope" ? rules.scope.join(" ") : undefined);
}

function makeVerifier(options: VerifierOptions, instance: Countersign | undefined): Verifier {
  if (instance !== undefined) return instance.createVerifier(options);
  if (options.jwksUri !== undefined || options.issuer !== undefined) return createVerifier(options);
  throw new CountersignError(
    "not_initialised",
    "verifyMicroservice needs keys: call init with appInfo or a core, or give it jwksUri",
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
