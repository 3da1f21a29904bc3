import type { Policy } from "./policy.ts";

/** A part of a policy that can be added or removed. */
export type PolicyFact =
  | { readonly kind: "service"; readonly service: string }
  | { readonly kind: "report-only"; readonly service: string }
  /** The service lists its scopes; each is a listed-scope. */
  | { readonly kind: "scope-list"; readonly service: string }
  | { readonly kind: "listed-scope"; readonly service: string; readonly scope: string }
  | { readonly kind: "call"; readonly caller: string; readonly callee: string }
  | { readonly kind: "scope"; readonly caller: string; readonly callee: string; readonly scope: string };

export type PolicyChange = PolicyFact & { readonly change: "added" | "removed" };

/** Returns the differences, removals first. Ignores order, which has no meaning in a policy. Pure. */
export function diffPolicies(before: Policy | undefined, after: Policy): readonly PolicyChange[] {
  const [old, now] = [factsOf(before), factsOf(after)];
  const only = (one: Facts, other: Facts, change: PolicyChange["change"]) =>
    [...one].filter(([name]) => !other.has(name)).map(([, fact]) => ({ ...fact, change }));
  return [...only(old, now, "removed"), ...only(now, old, "added")];
}

type Facts = ReadonlyMap<string, PolicyFact>;

function factsOf(policy: Policy | undefined): Facts {
  const facts: PolicyFact[] = [];
  for (const [service, { calls, scopes, reportOnly }] of policy?.services ?? []) {
    facts.push({ kind: "service", service });
    if (reportOnly) facts.push({ kind: "report-only", service });
    if (scopes !== undefined) facts.push({ kind: "scope-list", service });
    for (const scope of scopes ?? []) facts.push({ kind: "listed-scope", service, scope });
    for (const [callee, granted] of calls) {
      facts.push({ kind: "call", caller: service, callee });
      for (const scope of granted) facts.push({ kind: "scope", caller: service, callee, scope });
    }
  }
  return new Map(facts.map((fact) => [JSON.stringify(fact), fact]));
}
