import type { Policy } from "../domain/policy/policy.ts";

/** A mistake in the text of a policy. Lines and columns begin at 1. */
export interface PolicyMistake {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Of many mistakes the first, as they stand in the text; one at least. */
export type PolicyText = { ok: true; policy: Policy } | { ok: false; mistakes: readonly PolicyMistake[] };

/** Reads a policy as somebody has written it. @param registered the services that it may name */
export type ReadPolicyText = (text: string, registered: ReadonlySet<string>) => PolicyText;
