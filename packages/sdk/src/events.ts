import type { Reason } from "./protocol/decision.ts";
import type { SkippedJwk } from "./protocol/jwk.ts";

/** What a verifier tells its service about. Never holds a token. */
export type VerifierEvent =
  | {
      type: "refused";
      reason: Reason;
      /** What the token said of itself; not proven, and at most 256 characters each. */
      kid?: string;
      jti?: string;
      sub?: string;
    }
  | { type: "keys_refreshed"; source: string; keys: number; skipped: readonly SkippedJwk[] }
  | {
      type: "keys_refresh_failed";
      source: string;
      problem: string;
      /** Seconds since the set in use was fetched; undefined where there is none. */
      ageSeconds: number | undefined;
    };

export type OnVerifierEvent = (event: VerifierEvent) => void;

/** A listener's own failure never changes a decision. */
export function emitTo(listener: OnVerifierEvent | undefined): OnVerifierEvent {
  if (listener === undefined) return () => {};
  const warn = (error: unknown) => {
    process.emitWarning(failureOf(error), { code: "COUNTERSIGN_ON_EVENT" });
  };
  return (event) => {
    try {
      const result: unknown = listener(event);
      if (result instanceof Promise) result.catch(warn); // an async listener is a listener too
    } catch (error) {
      warn(error);
    }
  };
}

/** What is thrown may throw again when it is looked at. */
function failureOf(error: unknown): string {
  try {
    return `onEvent failed: ${error instanceof Error ? error.message : typeof error}`;
  } catch {
    return "onEvent failed";
  }
}
