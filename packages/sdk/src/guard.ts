import type { Countersign } from "./countersign.ts";
import { defaultInstance } from "./default-instance.ts";
import { challengeFor, type Caller, type Reason, type Refusal } from "./protocol/decision.ts";
import { CountersignError } from "./protocol/errors.ts";
import { createVerifier, type Verifier } from "./verifier.ts";
import { resolveVerifierOptions, type VerifierOptions } from "./verifier-options.ts";

/** Options of `verifyMicroservice`: a verifier's, and where they come from. */
export interface GuardOptions extends VerifierOptions {
  /** The instance whose knowledge fills what the options leave out. Default: the one `init` made. */
  countersign?: Countersign | undefined;
  /**
   * True: a request without a token, or with a good one that lacks the required claims, such as an end user's, goes on
   * without a caller; the route decides. A bad token is refused all the same. Default false.
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

/** Decides about a request by its Authorization fields; every framework's guard is this one. */
export type Guard = (authorization: readonly string[]) => Promise<GuardOutcome>;

/** @throws CountersignError `invalid_option`, at once; `not_initialised`, at the first request that finds nothing initialised */
export function createGuard({ countersign, optional = false, ...given }: GuardOptions = {}): Guard {
  if (typeof optional !== "boolean") throw new CountersignError("invalid_option", "optional: expected true or false");
  const options = optional ? withoutAbsences(given) : given;
  resolveVerifierOptions(options); // a mistake is found when the route is made, not when it is called
  let verifier: Verifier | undefined;
  return async (authorization) => {
    // At the first request, because routes are often defined before `init` is called.
    verifier ??= makeVerifier(options, countersign);
    const decision = await verifier.verifyAuthorization(authorization);
    if (decision.allowed) return decision;
    if (optional && isAbsence(decision.reason)) return { allowed: true, caller: undefined };
    return { allowed: false, answer: answerTo(decision) };
  };
}

/** Nobody of ours called, which is no attack. The required claims are looked at last: all else about the token is good. */
function isAbsence(reason: Reason): boolean {
  return reason === "token_missing" || reason === "claim_mismatch";
}

/** What lets a request go on is no refusal to tell of. */
function withoutAbsences(options: VerifierOptions): VerifierOptions {
  const { onEvent } = options;
  if (typeof onEvent !== "function") return options;
  const telling: typeof onEvent = (event) => {
    if (event.type !== "refused" || !isAbsence(event.reason)) return onEvent(event);
  };
  return { ...options, onEvent: telling };
}

function makeVerifier(options: VerifierOptions, countersign: Countersign | undefined): Verifier {
  const instance = countersign ?? defaultInstance();
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
