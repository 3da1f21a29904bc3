// Policies that the compiler must reject or accept. Checked by `tsc`, never run.
import { definePolicy, type PolicyDocument } from "../src/index.ts";

export const good: PolicyDocument[] = [
  definePolicy({ services: {} }),
  definePolicy({ services: { orders: { calls: { inventory: ["stock:read"] } }, inventory: {} } }),
  definePolicy({
    services: {
      orders: { calls: { inventory: ["stock:read"], orders: [] }, reportOnly: true },
      inventory: { scopes: ["stock:read", "stock:reserve"], reportOnly: false },
      "m-1": { calls: { inventory: [] }, scopes: [] },
    },
  }),
];

// @ts-expect-error a service that is not declared
definePolicy({ services: { orders: { calls: { billing: [] } }, inventory: {} } });
// @ts-expect-error a misspelled name among valid ones
definePolicy({ services: { orders: { calls: { inventory: ["a"], inventry: ["a"] } }, inventory: {} } });
// @ts-expect-error a scope that the callee does not list
definePolicy({ services: { orders: { calls: { inventory: ["write"] } }, inventory: { scopes: ["read"] } } });
// @ts-expect-error one of several
definePolicy({ services: { orders: { calls: { inventory: ["read", "write"] } }, inventory: { scopes: ["read"] } } });
// @ts-expect-error the callee has an empty list of scopes
definePolicy({ services: { orders: { calls: { inventory: ["read"] } }, inventory: { scopes: [] } } });
// @ts-expect-error scopes are a list
definePolicy({ services: { orders: { calls: { orders: "read" } } } });
// @ts-expect-error a list of strings
definePolicy({ services: { orders: { calls: { orders: [1] } } } });
// @ts-expect-error an unknown field of a service
definePolicy({ services: { orders: { call: {} } } });
// @ts-expect-error
definePolicy({ services: { orders: { reportOnly: "yes" } } });
// @ts-expect-error
definePolicy({ services: { orders: { scopes: "read" } } });
// @ts-expect-error
definePolicy({ services: { orders: null } });
// @ts-expect-error an unknown field of the policy
definePolicy({ services: {}, service: {} });
// @ts-expect-error
definePolicy({});
