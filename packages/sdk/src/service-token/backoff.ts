// The delays before the next token request after the core failed to issue a token.
import { CountersignError } from "../protocol/errors.ts";

/**
 * Milliseconds. Delays grow from `first` up to `most`, or up to `mostWithoutToken` if calls might be waiting for a token and
 * a retry can succeed. `Retry-After` is respected up to `mostRetryAfter`.
 */
const RETRY = { first: 250, most: 30_000, mostWithoutToken: 10_000, mostRetryAfter: 300_000 };
/** Milliseconds after the policy denied a call: a changed policy takes effect within 6 s, including this delay. */
const MOST_DENIED = 4_000;
/** Milliseconds after a wrong key: a core tolerates ten failures a minute per address, which services can share. */
const WRONG_KEY = 60_000;

/** Milliseconds. */
export interface RetryDelays {
  /** Until a call can trigger the next request. */
  readonly calling: number;
  /** Until the next request without a call. */
  readonly unattended: number;
}

/** Reports whether a retry can succeed without a change on this side. */
export function isRetryable(error: unknown): boolean {
  if (!(error instanceof CountersignError)) return false;
  const { code, status = 0 } = error;
  return (
    code === "core_unreachable" || (code === "core_refused" && (status === 408 || status === 429 || status >= 500))
  );
}

/**
 * Returns delays that grow exponentially, with jitter, and never end before the core's `Retry-After`. A request that failed
 * slowly indicates an overloaded core: jitter of up to twice its duration spreads services that wait since the same moment.
 */
export function delaysAfter(error: unknown, failuresBefore: number, took: number, hasToken: boolean): RetryDelays {
  const refusal = error instanceof CountersignError ? error : undefined;
  const grown = RETRY.first * 2 ** Math.min(failuresBefore, 10);
  const jitter = 0.5 + 0.5 * Math.random();
  const extra = 2 * took * Math.random() + Math.min(RETRY.mostRetryAfter, (refusal?.retryAfter ?? 0) * 1000);
  const delay = (most: number) => Math.min(most, grown) * jitter + extra;
  const most = hasToken || !isRetryable(error) ? RETRY.most : RETRY.mostWithoutToken;
  const isDenied = refusal?.status === 400 || refusal?.status === 403; // in most cases by the policy
  return {
    calling: delay(isDenied ? MOST_DENIED : most),
    unattended: refusal?.status === 401 ? WRONG_KEY * (0.5 + jitter) : delay(most),
  };
}
