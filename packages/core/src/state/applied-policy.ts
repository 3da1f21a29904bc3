import { readPolicy } from "../domain/policy/policy-document.ts";
import type { Policy } from "../domain/policy/policy.ts";
import type { StoredPolicy } from "../ports/store.ts";

/** A policy in force, as it is stored and as calls are decided by it. */
export interface AppliedPolicy {
  readonly stored: StoredPolicy;
  readonly policy: Policy;
}

/** Nobody may call anybody. */
const CLOSED: Policy = { services: new Map() };

/** @param before what was in force when the store was last read: most of what changes in a store is no policy */
export function appliedPolicy(stored: StoredPolicy, before?: AppliedPolicy): AppliedPolicy {
  if (before?.stored.document === stored.document) return { stored, policy: before.policy };
  return { stored, policy: policyIn(stored) };
}

/** What cannot be read, as a later version may have written it, lets nobody through. */
export function policyIn({ document }: StoredPolicy): Policy {
  try {
    const read = readPolicy(JSON.parse(document));
    return read.ok ? read.policy : CLOSED;
  } catch {
    return CLOSED;
  }
}
