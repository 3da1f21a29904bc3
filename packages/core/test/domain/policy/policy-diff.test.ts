import fc from "fast-check";
import { expect, it } from "vitest";
import type { Policy, PolicyService } from "../../../src/domain/policy/policy.ts";
import { diffPolicies, type PolicyChange } from "../../../src/domain/policy/policy-diff.ts";
import { document, rotationPolicyOf } from "../../support/policies.ts";

interface Entry {
  calls: Map<string, string[]>;
  scopes: string[] | undefined;
  reportOnly: boolean;
}

/** Applies changes, using only the text of each. */
function apply(policy: Policy | undefined, changes: readonly PolicyChange[]): Policy {
  const services = new Map<string, Entry>();
  for (const [name, { calls, scopes, reportOnly }] of policy?.services ?? []) {
    const copied = new Map([...calls].map(([callee, list]): [string, string[]] => [callee, [...list]]));
    services.set(name, { calls: copied, scopes: scopes && [...scopes], reportOnly });
  }
  const edit = (list: string[], item: string, isAdded: boolean) =>
    isAdded ? list.push(item) : list.splice(list.indexOf(item), 1);
  // Removes dependent entries first, adds them last.
  const rank = ({ kind, change }: PolicyChange) =>
    ["service", "call", "scope-list", "report-only", "listed-scope", "scope"].indexOf(kind) *
    (change === "added" ? 1 : -1);
  for (const one of [...changes].sort((a, b) => rank(a) - rank(b))) {
    const isAdded = one.change === "added";
    switch (one.kind) {
      case "service":
        if (isAdded) services.set(one.service, { calls: new Map(), scopes: undefined, reportOnly: false });
        else services.delete(one.service);
        break;
      case "report-only":
        services.get(one.service)!.reportOnly = isAdded;
        break;
      case "scope-list":
        services.get(one.service)!.scopes = isAdded ? [] : undefined;
        break;
      case "listed-scope":
        edit(services.get(one.service)!.scopes!, one.scope, isAdded);
        break;
      case "call":
        if (isAdded) services.get(one.caller)!.calls.set(one.callee, []);
        else services.get(one.caller)!.calls.delete(one.callee);
        break;
      case "scope":
        edit(services.get(one.caller)!.calls.get(one.callee)!, one.scope, isAdded);
        break;
    }
  }
  return { services: services as ReadonlyMap<string, PolicyService> };
}

/** Everything except order. */
const plain = ({ services }: Policy) =>
  [...services]
    .map(([name, { calls, scopes, reportOnly }]) => ({
      name,
      calls: [...calls].map(([callee, list]) => JSON.stringify([callee, [...list].sort()])).sort(),
      scopes: scopes && [...scopes].sort(),
      reportOnly,
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));

it("applying the difference to the old policy gives the new one", () => {
  fc.assert(
    fc.property(fc.option(document, { nil: undefined }), document, (before, after) => {
      const [old, now] = [before && rotationPolicyOf(before), rotationPolicyOf(after)];
      expect(plain(apply(old, diffPolicies(old, now)))).toEqual(plain(now));
    }),
    { numRuns: 1_000 },
  );
});

it("a policy does not differ from itself, in any order", () => {
  fc.assert(
    fc.property(document, ({ services }) => {
      const reversed = Object.entries(services)
        .reverse()
        .map(([name, { calls = {}, ...rest }]) => {
          const lines = Object.entries(calls).map(([callee, scopes]) => [callee, [...scopes].reverse()]);
          return [name, { ...rest, calls: Object.fromEntries(lines.reverse()) }];
        });
      expect(
        diffPolicies(rotationPolicyOf({ services }), rotationPolicyOf({ services: Object.fromEntries(reversed) })),
      ).toEqual([]);
    }),
  );
});

it("the reverse difference swaps added and removed", () => {
  fc.assert(
    fc.property(document, document, (one, other) => {
      const swap = { added: "removed", removed: "added" } as const;
      const names = (changes: readonly PolicyChange[]) => changes.map((change) => JSON.stringify(change)).sort();
      const there = diffPolicies(rotationPolicyOf(one), rotationPolicyOf(other));
      const back = diffPolicies(rotationPolicyOf(other), rotationPolicyOf(one));
      expect(names(there.map(({ change, ...fact }) => ({ ...fact, change: swap[change] })))).toEqual(names(back));
    }),
  );
});

it("names each change separately, removals first", () => {
  const before = rotationPolicyOf({
    services: { orders: { calls: { stock: ["a", "b"] } }, stock: { reportOnly: true } },
  });
  const after = rotationPolicyOf({
    services: { orders: { calls: { stock: ["b", "c"] } }, stock: { scopes: ["b", "c"] } },
  });
  expect(diffPolicies(before, after)).toEqual([
    { kind: "scope", caller: "orders", callee: "stock", scope: "a", change: "removed" },
    { kind: "report-only", service: "stock", change: "removed" },
    { kind: "scope", caller: "orders", callee: "stock", scope: "c", change: "added" },
    { kind: "scope-list", service: "stock", change: "added" },
    { kind: "listed-scope", service: "stock", scope: "b", change: "added" },
    { kind: "listed-scope", service: "stock", scope: "c", change: "added" },
  ]);
});
