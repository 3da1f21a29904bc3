import type { SkippedJwk } from "../protocol/jwk.ts";
import type { Reason } from "../protocol/reasons.ts";

/** What a refusal is told with. */
export interface RefusalDetails {
  /** What the token said of itself; not proven where it was refused, and at most 256 characters each. */
  kid?: string;
  jti?: string;
  sub?: string;
  /** What the check that failed wants, and what the token has, at most 256 characters each. */
  expected?: string;
  seen?: string;
  /** Where a time was wrong: seconds that the issuer's clock is ahead of ours, as far as that is known. */
  clockOffsetSeconds?: number;
}

/** What a verifier tells its service about. Never holds a token. */
export type VerifierEvent =
  | ({ type: "refused"; reason: Reason } & RefusalDetails)
  /** It was let in all the same, by a verifier that is told to only report. */
  | ({ type: "would_refuse"; reason: Reason } & RefusalDetails)
  | { type: "keys_refreshed"; source: string; keys: number; skipped: readonly SkippedJwk[] }
  | {
      type: "keys_refresh_failed";
      source: string;
      problem: string;
      /** Seconds since the set in use was fetched; undefined where there is none. */
      ageSeconds: number | undefined;
    }
  | {
      type: "revocations_refreshed";
      source: string;
      generation: number;
      epoch: number;
      /** How many of each are revoked. */
      tokens: number;
      services: number;
      kids: number;
    }
  | {
      type: "revocations_refresh_failed";
      source: string;
      problem: string;
      /** Seconds since the revocations in use were had; undefined where there are none. */
      ageSeconds: number | undefined;
    }
  /** This machine's clock was set: by so many seconds, negative when it was set back. */
  | { type: "clock_jumped"; seconds: number };

export type OnVerifierEvent = (event: VerifierEvent) => void;

/** A listener's own failure never changes a decision. */
export function emitTo(listener: OnVerifierEvent | undefined): OnVerifierEvent {
  return (event) => {
    try {
      const result: unknown = listener?.(event);
      if (result instanceof Promise) result.catch(warn); // an async listener is a listener too
    } catch (error) {
      warn(error);
    }
  };
}

function warn(error: unknown): void {
  let problem = "onEvent failed";
  try {
    problem += `: ${error instanceof Error ? error.message : typeof error}`;
  } catch {
    // What is thrown may throw again when it is looked at.
  }
  process.emitWarning(problem, { code: "COUNTERSIGN_ON_EVENT" });
}
