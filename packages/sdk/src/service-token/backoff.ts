// When a core is asked again that gave no token.
import { CountersignError } from "../protocol/errors.ts";

/**
 * Milliseconds between tries that fail, growing; not as far where somebody may be waiting and there is hope. And how
 * long the longest `Retry-After` is heeded.
 */
const RETRY = { first: 250, most: 30_000, mostWithout: 10_000, mostAsked: 300_000 };
/** The same for who calls what the policy does not grant: a policy's change takes effect within 6 s, this included. */
const MOST_DENIED = 4_000;
/** Where the key is wrong: a core lets an address fail ten times a minute, and there may be other services on it. */
const UNKNOWN_KEY = 60_000;

/** Milliseconds. */
export interface RetryDelays {
  /** Until somebody who calls has it asked again. */
  readonly calling: number;
  /** Until it is asked again although nobody calls. */
  readonly unattended: number;
}

/** Whether another try may go better by itself. */
export function isRetryable(error: unknown): boolean {
  if (!(error instanceof CountersignError)) return false;
  const { code, status = 0 } = error;
  return (
    code === "core_unreachable" || (code === "core_refused" && (status === 408 || status === 429 || status >= 500))
  );
}

/**
 * Growing, not at the same moment as everybody else, and never before the core wants it. One that took long to fail is
 * overrun: those who all wait since the same moment spread over twice that time.
 */
export function delaysAfter(error: unknown, failuresBefore: number, took: number, hasToken: boolean): RetryDelays {
  const most = hasToken || !isRetryable(error) ? RETRY.most : RETRY.mostWithout;
  const grown = RETRY.first * 2 ** Math.min(failuresBefore, 10);
  const share = 0.5 + 0.5 * Math.random();
  const asked = (error instanceof CountersignError && error.retryAfter) || 0;
  const extra = 2 * took * Math.random() + Math.min(RETRY.mostAsked, asked * 1000);
  const pause = (atMost: number) => Math.min(atMost, grown) * share + extra;
  const status = error instanceof CountersignError ? error.status : undefined;
  const isDenied = status === 400 || status === 403; // by the policy, in most cases
  return {
    calling: pause(isDenied ? MOST_DENIED : most),
    unattended: status === 401 ? UNKNOWN_KEY * (0.5 + share) : pause(most),
  };
}
