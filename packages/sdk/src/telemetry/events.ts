import type { SkippedJwk } from "../protocol/jwk.ts";
import type { Reason } from "../protocol/reasons.ts";

/** The details of a rejection. */
export interface RefusalDetails {
  /** From the token, unverified for a rejected one; at most 256 characters each. */
  kid?: string;
  jti?: string;
  sub?: string;
  /** The value that the failed check expects, and the value in the token; at most 256 characters each. */
  expected?: string;
  seen?: string;
  /** For a rejected time: the seconds by which the issuer's clock is ahead of ours, if known. */
  clockOffsetSeconds?: number;
}

/** An event of a verifier. Never contains a token. */
export type VerifierEvent =
  | ({ type: "refused"; reason: Reason } & RefusalDetails)
  /** A verifier with `reportOnly` accepted a request that it would reject otherwise. */
  | ({ type: "would_refuse"; reason: Reason } & RefusalDetails)
  | { type: "keys_refreshed"; source: string; keys: number; skipped: readonly SkippedJwk[] }
  | {
      type: "keys_refresh_failed";
      source: string;
      problem: string;
      /** Seconds since the current key set was fetched; undefined if there is none. */
      ageSeconds: number | undefined;
    }
  | {
      type: "revocations_refreshed";
      source: string;
      generation: number;
      epoch: number;
      /** The numbers of revoked tokens, services and keys. */
      tokens: number;
      services: number;
      kids: number;
    }
  | {
      type: "revocations_refresh_failed";
      source: string;
      problem: string;
      /** Seconds since the current revocations were fetched; undefined if there are none. */
      ageSeconds: number | undefined;
    }
  /** The clock of this machine was set, by `seconds`; negative if it moved backward. */
  | { type: "clock_jumped"; seconds: number };

export type OnVerifierEvent = (event: VerifierEvent) => void;

/** Wraps a listener, so that its own failure never changes a decision. */
export function emitTo(listener: OnVerifierEvent | undefined): OnVerifierEvent {
  return (event) => {
    try {
      const result: unknown = listener?.(event);
      if (result instanceof Promise) result.catch(warn); // an async listener
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
    // Reading the thrown value can throw again.
  }
  process.emitWarning(problem, { code: "COUNTERSIGN_ON_EVENT" });
}
