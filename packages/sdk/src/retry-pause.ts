// When a core is asked again that gave no token.
import { CountersignError } from "./protocol/errors.ts";

/**
 * Milliseconds between tries that fail, growing; not as far where somebody may be waiting and there is hope. And how
 * long the longest `Retry-After` is heeded.
 */
const RETRY = { first: 250, most: 30_000, mostWithout: 10_000, mostAsked: 300_000 };
/** The same for who calls what the policy does not grant: a policy's change takes effect within 6 s, this included. */
const MOST_DENIED = 4_000;

/** Milliseconds. */
export interface RetryPauses {
  /** Until somebody who calls has it asked again. */
  readonly calling: number;
  /** Until it is asked again although nobody calls. */
  readonly unattended: number;
}

/** Whether another try may go better by itself. */
export function passes(error: unknown): boolean {
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
export function pausesAfter(error: unknown, failuresBefore: number, took: number, hasToken: boolean): RetryPauses {
  const most = hasToken || !passes(error) ? RETRY.most : RETRY.mostWithout;
  const grown = RETRY.first * 2 ** Math.min(failuresBefore, 10);
  const share = 0.5 + 0.5 * Math.random();
  const asked = (error instanceof CountersignError && error.retryAfter) || 0;
  const extra = 2 * took * Math.random() + Math.min(RETRY.mostAsked, asked * 1000);
  const pause = (atMost: number) => Math.min(atMost, grown) * share + extra;
  return { calling: pause(isDenied(error) ? MOST_DENIED : most), unattended: pause(most) };
}

/** By the policy, in most cases. */
function isDenied(error: unknown): boolean {
  return error instanceof CountersignError && (error.status === 400 || error.status === 403);
}
