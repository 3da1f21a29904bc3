import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { documentOf, readPolicy } from "../../../src/domain/policy/policy-document.ts";
import { listOf } from "../../../src/domain/policy/scope.ts";
import { diffPolicies } from "../../../src/domain/policy/policy-diff.ts";
import { document, rotationPolicyOf } from "../../support/policies.ts";

/** Each error as `path problem`; `#` marks a name that is itself invalid. */
function problemsOf(data: unknown, registered?: ReadonlySet<string>): string[] {
  const read = readPolicy(data, registered);
  if (read.ok) return [];
  return read.problems.map(({ path, atName, problem }) => `${path.join(".")}${atName ? "#" : ""} ${problem}`);
}

it("a policy and its document have the same meaning", () => {
  fc.assert(
    fc.property(document, (written) => {
      const policy = rotationPolicyOf(written);
      const read = rotationPolicyOf(JSON.parse(JSON.stringify(documentOf(policy))));
      expect(read).toEqual(policy);
      expect(diffPolicies(policy, read)).toEqual([]);
    }),
  );
});

it("accepts the smallest policy and a full one", () => {
  expect(rotationPolicyOf({ services: {} }).services.size).toBe(0);
  const whole = {
    services: {
      orders: { calls: { inventory: ["stock:read"] } },
      inventory: { scopes: ["stock:read", "stock:reserve"], reportOnly: true },
    },
  };
  expect(documentOf(rotationPolicyOf(whole))).toEqual(whole);
});

describe("errors have their path, and are reported together", () => {
  const service = (entry: unknown) => ({ services: { orders: entry } });
  it.each([
    [null, [/^ expected names with values/]],
    [[], [/^ expected names with values/]],
    ["services", [/^ expected names with values/]],
    [{}, [/^ services: missing$/]],
    [{ service: {} }, [/^service# unknown field, expected services$/, /^ services: missing$/]],
    [{ services: null }, [/^services expected names with values, or {} for none$/]],
    [{ services: [] }, [/^services expected names/]],
    [service(null), [/^services\.orders expected names/]],
    [service({ call: {} }), [/^services\.orders\.call# unknown field, expected calls, scopes or reportOnly$/]],
    [service({ calls: [] }), [/^services\.orders\.calls expected names/]],
    [service({ calls: { orders: null } }), [/^services\.orders\.calls\.orders expected a list of scopes/]],
    [service({ calls: { orders: "a" } }), [/a list of scopes/]],
    [
      service({ calls: { orders: [1, null, ["a"]] } }),
      [/orders\.0 expected a scope/, /orders\.1 expected a scope/, /orders\.2 expected a scope/],
    ],
    [service({ calls: { orders: ["a b"] } }), [/^services\.orders\.calls\.orders\.0 a scope cannot contain spaces/]],
    [service({ calls: { orders: ["a", "b", "a"] } }), [/^services\.orders\.calls\.orders\.2 duplicate scope$/]],
    [service({ calls: { ghost: [] } }), [/^services\.orders\.calls\.ghost# "ghost" is not declared in services$/]],
    [service({ reportOnly: "yes" }), [/^services\.orders\.reportOnly expected true or false$/]],
    [service({ scopes: {} }), [/^services\.orders\.scopes expected a list/]],
    [{ services: { Orders: {} } }, [/^services\.Orders# a service/]],
    [{ services: { constructor: {} } }, [/^services\.constructor# "constructor" cannot be a service name/]],
    [{ services: { prototype: {} } }, [/cannot be a service name/]],
    [JSON.parse('{"services":{"__proto__":{}}}'), [/^services\.__proto__# a service/]],
    [
      { services: { orders: { calls: { stock: ["a", "b"] } }, stock: { scopes: ["b", "c"] } } },
      [/^services\.orders\.calls\.stock\.0 "stock" does not list this scope in its scopes$/],
    ],
    [
      { services: { orders: { calls: { stock: ["a"] } }, stock: { scopes: [] } } },
      [/^services\.orders\.calls\.stock\.0 "stock" does not list this/],
    ],
  ])("%j", (data, expected) => {
    expect(problemsOf(data)).toEqual(expected.map((words) => expect.stringMatching(words)));
  });

  it("rejects a service that is not registered, at its declaration", () => {
    const data = { services: { orders: { calls: { stock: [] } }, stock: {} } };
    expect(problemsOf(data, new Set(["orders"]))).toEqual([
      'services.stock# service "stock" is not registered in this app',
    ]);
    expect(problemsOf(data, new Set(["orders", "stock", "other"]))).toEqual([]);
  });

  it("limits a call to 100 scopes, and a service's own list to 1,000", () => {
    const scopes = (count: number) => Array.from({ length: count }, (_, i) => `s${i}`);
    expect(problemsOf(service({ calls: { orders: scopes(100) }, scopes: scopes(1_000) }))).toEqual([]);
    expect(problemsOf(service({ calls: { orders: scopes(101) }, scopes: scopes(1_001) }))).toEqual([
      "services.orders.calls.orders more than 100 scopes",
      "services.orders.scopes more than 1000 scopes",
    ]);
  });

  it("never throws, for any data", () => {
    fc.assert(fc.property(fc.anything(), (data) => void readPolicy(data)));
    fc.assert(
      fc.property(fc.anything(), (data) => void readPolicy({ services: { orders: { calls: { orders: data } } } })),
    );
  });
});

it("lists names as in a sentence", () => {
  const names = Array.from({ length: 12 }, (_, i) => String(i));
  expect([listOf([]), listOf(["a"]), listOf(["a", "b"]), listOf(["a", "b", "c"], "or"), listOf(names)]).toEqual([
    "no scope",
    "a",
    "a and b",
    "a, b or c",
    "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more",
  ]);
});
