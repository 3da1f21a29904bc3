import fc from "fast-check";
import type { Policy } from "../../src/domain/policy/policy.ts";
import { readPolicy } from "../../src/domain/policy/policy-document.ts";

/** Returns a policy from its document, or fails the test. */
export function rotationPolicyOf(document: unknown): Policy {
  const read = readPolicy(document);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.policy;
}

export const NAMES = ["orders", "inventory", "billing", "m-1"];
export const SCOPES = ["stock:read", "stock:reserve", "x", "*"];
export const name = fc.constantFrom(...NAMES);
export const scopeList = fc.uniqueArray(fc.constantFrom(...SCOPES));

const entry = (services: readonly string[]) =>
  fc.record(
    {
      calls: fc.dictionary(fc.constantFrom(...services), scopeList, { maxKeys: 4 }),
      scopes: fc.constant(SCOPES),
      reportOnly: fc.boolean(),
    },
    { requiredKeys: [] },
  );

/** Any policy of few services, so that random queries often match its rules. */
export const document = fc
  .uniqueArray(name, { minLength: 1 })
  .chain((services) =>
    fc.record({ services: fc.record(Object.fromEntries(services.map((one) => [one, entry(services)]))) }),
  );
