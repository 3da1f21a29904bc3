import type { Policy } from "../domain/policy/policy.ts";

/** An error in the text of a policy. Lines and columns start at 1. */
export interface PolicyMistake {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** If invalid: at least one error, in the order of the text, up to a limit. */
export type PolicyText = { ok: true; policy: Policy } | { ok: false; mistakes: readonly PolicyMistake[] };

/** Reads a policy from its text. @param registered the services that it can reference */
export type ReadPolicyText = (text: string, registered: ReadonlySet<string>) => PolicyText;
