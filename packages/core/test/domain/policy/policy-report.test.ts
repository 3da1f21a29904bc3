import fc from "fast-check";
import { expect, it } from "vitest";
import { isStillReported, ReportTable, type ReportedCall } from "../../../src/domain/policy/policy-report.ts";
import { decideCall } from "../../../src/domain/policy/policy.ts";
import { document, name, rotationPolicyOf, SCOPES } from "../../support/policies.ts";

const call = fc.record({
  caller: name,
  callee: name,
  scope: fc.option(fc.oneof(fc.constantFrom(...SCOPES), fc.string({ minLength: 1 }))),
  count: fc.integer({ min: 1, max: 9 }),
  firstAt: fc.nat(1_000),
  lastAt: fc.integer({ min: 1_000, max: 2_000 }),
});
const total = (calls: readonly ReportedCall[]) => calls.reduce((sum, { count }) => sum + count, 0);
const byName = (calls: readonly ReportedCall[]) => calls.map((one) => JSON.stringify(one)).sort();

it("a table has the same counts for any grouping and order of reports", () => {
  fc.assert(
    fc.property(fc.array(call), fc.nat(), (calls, at) => {
      const cut = at % (calls.length + 1);
      const whole = new ReportTable(calls).calls();
      const parts = new ReportTable(new ReportTable(calls.slice(cut)).calls());
      parts.add(new ReportTable(calls.slice(0, cut).reverse()).calls());
      expect(byName(parts.calls())).toEqual(byName(whole));
      expect(total(whole)).toBe(total(calls));
      for (const { firstAt, lastAt } of whole) expect(firstAt).toBeLessThanOrEqual(lastAt);
    }),
  );
});

it("a full table loses no count, and keeps counting known calls", () => {
  const many = Array.from({ length: 2_000 }, (_, i): ReportedCall => {
    return { caller: "orders", callee: "stock", scope: `s${i}`, count: 2, firstAt: i, lastAt: i };
  });
  const table = new ReportTable(many);
  table.add([many[0]!, many[1_999]!]);
  const calls = table.calls();
  expect([calls.length, total(calls)]).toEqual([1_001, 4_004]);
  expect(calls[0]).toMatchObject({ scope: "s0", count: 4 });
  expect(calls.at(-1)).toEqual({
    caller: undefined,
    callee: undefined,
    scope: null,
    count: 2_002,
    firstAt: 1_000,
    lastAt: 1_999,
  });
  expect(byName(new ReportTable(calls.reverse()).calls())).toEqual(byName(calls));
});

it("a call is reported exactly if the policy would still reject it", () => {
  fc.assert(
    fc.property(document, name, name, fc.option(fc.constantFrom(...SCOPES)), (services, caller, callee, scope) => {
      const policy = rotationPolicyOf(services);
      const decision = decideCall(policy, caller, callee, scope === null ? undefined : [scope]);
      const facts = { caller, callee, scope, count: 1, firstAt: 0, lastAt: 0 };
      // A call without a scope requests the scopes of the rule, and without a rule it has none.
      const isReported = decision.allowed && decision.reported !== undefined;
      expect(isStillReported(facts, policy)).toBe(isReported);
    }),
    { numRuns: 500 },
  );
});
