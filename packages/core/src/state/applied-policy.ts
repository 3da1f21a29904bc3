import { readPolicy } from "../domain/policy/policy-document.ts";
import type { Policy } from "../domain/policy/policy.ts";
import type { StoredPolicy } from "../ports/store.ts";

/** The current policy, as it is stored and as it is evaluated. */
export interface AppliedPolicy {
  readonly stored: StoredPolicy;
  readonly policy: Policy;
}

const DENY_ALL: Policy = { services: new Map() };

/** @param before the last policy, which is reused unless the document has changed */
export function appliedPolicy(stored: StoredPolicy, before?: AppliedPolicy): AppliedPolicy {
  if (before?.stored.document === stored.document) return { stored, policy: before.policy };
  return { stored, policy: policyIn(stored) };
}

/** Denies everything if the policy cannot be read: a newer version might have written it. */
export function policyIn({ document }: StoredPolicy): Policy {
  try {
    const read = readPolicy(JSON.parse(document));
    return read.ok ? read.policy : DENY_ALL;
  } catch {
    return DENY_ALL;
  }
}
