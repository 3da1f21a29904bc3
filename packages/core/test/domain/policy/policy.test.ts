import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideCall, lackingIn, type CallDecision } from "../../../src/domain/policy/policy.ts";
import { explainCall, type StateOf } from "../../../src/domain/policy/policy-explanation.ts";
import { document, name, rotationPolicyOf, SCOPES, scopeList } from "../../support/policies.ts";

const policy = rotationPolicyOf({
  services: {
    orders: { calls: { inventory: ["stock:read", "stock:reserve"] } },
    cart: { calls: { inventory: ["stock:read"], orders: [] } },
    inventory: {},
    legacy: { reportOnly: true },
  },
});
const allowed = (audience: string | undefined, ...scopes: string[]): CallDecision => ({
  allowed: true,
  audience,
  scopes,
});
const refused = (status: 400 | 403, error: string, words: RegExp) => ({
  allowed: false,
  status,
  error,
  problem: expect.stringMatching(words),
});

describe("a call by the policy", () => {
  it("gets the requested scopes, or all of its rule", () => {
    expect(decideCall(policy, "orders", "inventory", undefined)).toEqual(
      allowed("inventory", "stock:read", "stock:reserve"),
    );
    expect(decideCall(policy, "orders", "inventory", ["stock:reserve"])).toEqual(allowed("inventory", "stock:reserve"));
    expect(decideCall(policy, "orders", "inventory", ["stock:read", "stock:read"])).toEqual(
      allowed("inventory", "stock:read"),
    );
    expect(decideCall(policy, "orders", "inventory", [])).toEqual(allowed("inventory"));
    expect(decideCall(policy, "cart", "orders", undefined)).toEqual(allowed("orders"));
  });

  it("defaults to the only callee; with none or several, 400 explains what to send", () => {
    expect(decideCall(policy, "orders", undefined, ["stock:read"])).toEqual(allowed("inventory", "stock:read"));
    const missing = (words: RegExp) => refused(400, "invalid_request", words);
    expect(decideCall(policy, "cart", undefined, undefined)).toEqual(
      missing(/^'audience' is missing: cart can call inventory and orders$/),
    );
    expect(decideCall(policy, "inventory", undefined, undefined)).toEqual(missing(/inventory can call no service/));
    expect(decideCall(policy, "ghost", undefined, undefined)).toEqual(missing(/ghost can call no service/));
  });

  it("S3 is rejected without a rule, without echoing the request", () => {
    const target = refused(
      403,
      "invalid_target",
      /^the policy does not allow orders to call this audience; orders can call inventory$/,
    );
    for (const audience of ["billing", "cart", "legacy ", "Inventory", "inventory ", "", "*", "orders", "__proto__"]) {
      expect(decideCall(policy, "orders", audience, undefined)).toEqual(target);
      expect(decideCall(policy, "orders", audience, ["stock:read"])).toEqual(target);
    }
    for (const caller of ["inventory", "ghost", "toString", "__proto__"]) {
      expect(decideCall(policy, caller, "inventory", [])).toMatchObject({ allowed: false, error: "invalid_target" });
    }
    const scope = refused(
      403,
      "invalid_scope",
      /^the policy does not grant cart this scope for inventory; it grants stock:read$/,
    );
    for (const one of ["stock:reserve", "*", "", "STOCK:READ", "stock:read stock:reserve", "stock:"]) {
      expect(decideCall(policy, "cart", "inventory", [one])).toEqual(scope);
      expect(decideCall(policy, "cart", "inventory", ["stock:read", one])).toEqual(scope);
    }
  });

  it("names at most ten of the possible values", () => {
    const names = Array.from({ length: 30 }, (_, i) => `s-${i}`);
    const many = rotationPolicyOf({
      services: Object.fromEntries(
        names.map((one) => [one, one === "s-0" ? { calls: Object.fromEntries(names.map((to) => [to, []])) } : {}]),
      ),
    });
    expect(decideCall(many, "s-0", undefined, undefined)).toMatchObject({
      problem: "'audience' is missing: s-0 can call s-0, s-1, s-2, s-3, s-4, s-5, s-6, s-7, s-8, s-9 and 20 more",
    });
  });
});

it("without a policy gives only tokens without an audience", () => {
  for (const scopes of [undefined, []]) {
    expect(decideCall(undefined, "orders", undefined, scopes)).toEqual(allowed(undefined));
  }
  const words = /^no policy has been applied/;
  expect(decideCall(undefined, "orders", "inventory", undefined)).toEqual(refused(403, "invalid_target", words));
  expect(decideCall(undefined, "orders", undefined, ["a"])).toEqual(refused(403, "invalid_scope", words));
});

describe("a report-only callee", () => {
  const reported = (words: RegExp, ...scopes: string[]) => ({
    ...allowed("legacy", ...scopes),
    reported: expect.stringMatching(words),
  });

  it("can be called by any service for anything, exactly as requested, and the result names what the policy lacks", () => {
    expect(decideCall(policy, "orders", "legacy", ["a", "b", "a"])).toEqual(
      reported(/does not allow orders to call/, "a", "b"),
    );
    expect(decideCall(policy, "ghost", "legacy", undefined)).toEqual(reported(/ghost can call no service/));
    const partly = rotationPolicyOf({
      services: { orders: { calls: { legacy: ["a"] } }, legacy: { reportOnly: true } },
    });
    expect(decideCall(partly, "orders", "legacy", ["a", "b"])).toEqual(
      reported(/this scope for legacy; it grants a$/, "a", "b"),
    );
    expect(decideCall(partly, "orders", "legacy", ["a"])).toEqual(allowed("legacy", "a"));
    expect(decideCall(partly, "orders", "legacy", undefined)).toEqual(allowed("legacy", "a"));
  });

  it("never puts an invalid scope into a token, and grants only what a rule grants", () => {
    const problem = refused(400, "invalid_scope", /at most 100 scopes/);
    const many = Array.from({ length: 101 }, (_, i) => `s${i}`);
    for (const scopes of [["a b"], ["a", ""], ['"'], ["\\"], ["é"], ["a\n"], ["\0"], ["x".repeat(129)], many]) {
      expect(decideCall(policy, "orders", "legacy", scopes)).toEqual(problem);
    }
    expect(decideCall(policy, "orders", "legacy", many.slice(1))).toMatchObject({ allowed: true });
    expect(decideCall(policy, "orders", "legacy", ["x".repeat(128)])).toMatchObject({ allowed: true });
  });

  it("is not affected as a caller", () => {
    expect(decideCall(policy, "legacy", "inventory", undefined)).toMatchObject({ allowed: false });
  });
});

const call = fc.record({
  caller: fc.oneof(name, fc.string()),
  audience: fc.option(fc.oneof(name, fc.string()), { nil: undefined }),
  scopes: fc.option(fc.array(fc.oneof(fc.constantFrom(...SCOPES), fc.string())), { nil: undefined }),
});

it("S3 a scope is granted only by a rule, unless it is reported", () => {
  let granted = 0;
  fc.assert(
    fc.property(document, call, ({ services }, { caller, audience, scopes }) => {
      const decision = decideCall(rotationPolicyOf({ services }), caller, audience, scopes);
      if (!decision.allowed) return;
      granted++;
      // Computed from the document itself, not from the parsed policy.
      const line = (Object.hasOwn(services, caller) ? services[caller]! : {}).calls?.[decision.audience!];
      if (decision.reported === undefined) {
        expect(line).toBeDefined();
        for (const scope of decision.scopes) expect(line).toContain(scope);
        if (scopes === undefined) expect(decision.scopes).toEqual(line);
      } else {
        expect(services[decision.audience!]!.reportOnly).toBe(true);
        expect(line === undefined || !decision.scopes.every((scope) => line.includes(scope))).toBe(true);
      }
      if (audience !== undefined) expect(decision.audience).toBe(audience);
      if (scopes !== undefined) expect(new Set(decision.scopes)).toEqual(new Set(scopes));
    }),
    { numRuns: 2_000 },
  );
  expect(granted).toBeGreaterThan(100);
});

it("a scope that a rule grants is never rejected", () => {
  fc.assert(
    fc.property(document, fc.nat(), ({ services }, pick) => {
      const lines = Object.entries(services).flatMap(([caller, { calls = {} }]) =>
        Object.entries(calls).map(([callee, scopes]) => ({ caller, callee, scopes })),
      );
      fc.pre(lines.length > 0);
      const { caller, callee, scopes } = lines[pick % lines.length]!;
      const some = scopes.slice(pick % (scopes.length + 1));
      const read = rotationPolicyOf({ services });
      expect(decideCall(read, caller, callee, some)).toEqual(allowed(callee, ...some));
      expect(decideCall(read, caller, callee, undefined)).toEqual(allowed(callee, ...scopes));
    }),
  );
});

it("a reported call lacks exactly what would have been rejected", () => {
  fc.assert(
    fc.property(document, name, name, fc.option(scopeList, { nil: undefined }), (services, caller, callee, scopes) => {
      const read = rotationPolicyOf(services);
      const decision = decideCall(read, caller, callee, scopes);
      const lacking = lackingIn(read, caller, callee, scopes);
      expect(lacking.length > 0).toBe(!decision.allowed || decision.reported !== undefined);
      for (const scope of lacking) {
        const alone = decideCall(read, caller, callee, scope === null ? undefined : [scope]);
        expect(!alone.allowed || alone.reported !== undefined).toBe(true);
      }
    }),
  );
});

describe("an explanation", () => {
  const enabled: StateOf = () => "enabled";

  it.each([
    ["orders", "inventory", "stock:reserve", "services.orders.calls.inventory grants stock:reserve."],
    ["orders", "inventory", undefined, "services.orders.calls.inventory grants stock:read and stock:reserve."],
    ["cart", "orders", undefined, "services.cart.calls.orders grants no scope."],
    [
      "cart",
      "inventory",
      "stock:reserve",
      "services.cart.calls.inventory grants stock:read, but not stock:reserve. To allow it, add stock:reserve to that list.",
    ],
    ["cart", "orders", "a", "services.cart.calls.orders grants no scope, but not a. To allow it, add a to that list."],
    [
      "inventory",
      "orders",
      "a",
      "services.inventory.calls.orders does not exist. To allow it, add 'orders: [a]' to services.inventory.calls.",
    ],
    [
      "ghost",
      "billing",
      undefined,
      "services.ghost.calls.billing does not exist. To allow it, declare ghost in services, declare billing in " +
        "services and add 'billing: []' to services.ghost.calls.",
    ],
    [
      "orders",
      "legacy",
      "a",
      "legacy is report-only, so the call is allowed and reported. services.orders.calls.legacy does not exist. To allow " +
        "it, add 'legacy: [a]' to services.orders.calls.",
    ],
  ])("of %s calling %s for %s", (caller, callee, scope, why) => {
    expect(explainCall(policy, caller, callee, scope, enabled).why).toBe(why);
  });

  it("names both lists if the callee does not list the scope either", () => {
    const listing = rotationPolicyOf({ services: { orders: { calls: { stock: ["a"] } }, stock: { scopes: ["a"] } } });
    expect(explainCall(listing, "orders", "stock", "b", enabled).why).toBe(
      "services.orders.calls.stock grants a, but not b. To allow it, add b to that list and add it to " +
        "services.stock.scopes as well.",
    );
  });

  it("names callers that get no token under any policy, and what to do first", () => {
    const stateOf = (one: string) => ({ orders: "disabled" as const, inventory: "enabled" as const })[one];
    const ask = (caller: string, callee: string) => explainCall(policy, caller, callee, undefined, stateOf);
    expect(ask("orders", "inventory")).toEqual({
      allowed: false,
      reported: false,
      why: expect.stringMatching(/^orders is disabled: it gets no token\. services\.orders\.calls\.inventory grants /),
    });
    expect(ask("cart", "inventory")).toMatchObject({
      allowed: false,
      why: expect.stringMatching(/^cart is not registered: it gets no token\. /),
    });
    expect(ask("inventory", "ghost").why).toBe(
      "services.inventory.calls.ghost does not exist. To allow it, register ghost, declare ghost in services and " +
        "add 'ghost: []' to services.inventory.calls.",
    );
    expect(ask("orders", "legacy")).toMatchObject({ allowed: false, reported: false });
    expect(explainCall(undefined, "ghost", "inventory", undefined, stateOf).why).toMatch(
      /^ghost is not registered: it gets no token\. No policy has been applied/,
    );
    const isOrders = (one: string) => (one === "orders" ? ("enabled" as const) : undefined);
    expect(explainCall(policy, "orders", "inventory", undefined, isOrders)).toMatchObject({
      allowed: true,
      why: expect.stringMatching(/ But inventory is no longer registered\.$/),
    });
  });

  it("reports a missing policy", () => {
    expect(explainCall(undefined, "orders", "inventory", undefined, enabled)).toMatchObject({
      allowed: false,
      why: expect.stringMatching(/^No policy has been applied/),
    });
  });

  it("agrees with the decision, and gives advice exactly if the policy lacks something", () => {
    fc.assert(
      fc.property(
        document,
        name,
        name,
        fc.option(fc.constantFrom(...SCOPES), { nil: undefined }),
        (services, caller, callee, scope) => {
          const decision = decideCall(
            rotationPolicyOf(services),
            caller,
            callee,
            scope === undefined ? undefined : [scope],
          );
          const {
            allowed: isAllowed,
            reported,
            why,
          } = explainCall(rotationPolicyOf(services), caller, callee, scope, enabled);
          expect(isAllowed).toBe(decision.allowed);
          expect(reported).toBe(decision.allowed && decision.reported !== undefined);
          expect(why.includes("To allow it")).toBe(!isAllowed || reported);
        },
      ),
    );
  });
});
