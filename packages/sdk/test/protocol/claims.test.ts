import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mistypedClaim, refusalOfClaims, type ClaimRules } from "../../src/protocol/claims.ts";

const rules: ClaimRules = {
  issuer: undefined,
  audience: [],
  requiredClaims: new Map(),
  allow: undefined,
  scope: [],
  clockTolerance: 0,
  maxTokenLifetime: undefined,
};
const refusal = (claims: object, more: Partial<ClaimRules> = {}, now = 1000) =>
  refusalOfClaims(claims as Record<string, unknown>, { ...rules, ...more }, now);

describe("mistypedClaim", () => {
  test("C3 a time is an integer from 0 to 253402300799", () => {
    const isTime = (value: unknown) =>
      Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 253_402_300_799;
    const value = fc.oneof(
      fc.jsonValue(),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.double(),
      fc.constantFrom(0, 253_402_300_799, 253_402_300_800, 1e308, -1, 0.5, "1", null, true),
    );
    fc.assert(
      fc.property(fc.constantFrom("exp", "nbf", "iat"), value, (name, time) => {
        expect(mistypedClaim({ exp: 1, [name]: time })).toBe(isTime(time) ? undefined : name);
      }),
      { numRuns: 1000 },
    );
  });

  test("C4 exp is required, nbf and iat are not", () => {
    expect(mistypedClaim({})).toBe("exp");
    expect(mistypedClaim({ iat: 1, nbf: 1 })).toBe("exp");
    expect(mistypedClaim({ exp: 1 })).toBeUndefined();
  });

  test("iss, sub and jti are strings if present, and T21 contain no NUL", () => {
    for (const name of ["iss", "sub", "jti"]) {
      expect(mistypedClaim({ exp: 1, [name]: "a" })).toBeUndefined();
      for (const value of [1, null, true, ["a"], { a: 1 }, "a\0", "\0"]) {
        expect(mistypedClaim({ exp: 1, [name]: value }), `${name} ${JSON.stringify(value)}`).toBe(name);
      }
    }
  });

  test("C2 aud is a string or an array of strings", () => {
    for (const aud of ["a", ["a"], ["a", "b"], []]) expect(mistypedClaim({ exp: 1, aud })).toBeUndefined();
    for (const aud of [1, null, {}, ["a", 1], [["a"]], [null], true])
      expect(mistypedClaim({ exp: 1, aud })).toBe("aud");
  });
});

describe("refusalOfClaims", () => {
  test("a token is valid until its exp plus the tolerance, not a second longer", () => {
    expect(refusal({ exp: 1001 })).toBeUndefined();
    expect(refusal({ exp: 1000 })).toBe("token_expired");
    expect(refusal({ exp: 971 }, { clockTolerance: 30 })).toBeUndefined();
    expect(refusal({ exp: 970 }, { clockTolerance: 30 })).toBe("token_expired");
  });

  test.each(["nbf", "iat"])("C6 %s can be in the future by at most the tolerance", (name) => {
    expect(refusal({ exp: 9999, [name]: 1000 })).toBeUndefined();
    expect(refusal({ exp: 9999, [name]: 1001 })).toBe("token_not_yet_valid");
    expect(refusal({ exp: 9999, [name]: 1030 }, { clockTolerance: 30 })).toBeUndefined();
    expect(refusal({ exp: 9999, [name]: 1031 }, { clockTolerance: 30 })).toBe("token_not_yet_valid");
  });

  test("C4 maxTokenLifetime limits exp - iat, and requires an iat", () => {
    expect(refusal({ iat: 1000, exp: 1060 }, { maxTokenLifetime: 60 })).toBeUndefined();
    expect(refusal({ iat: 1000, exp: 1061 }, { maxTokenLifetime: 60 })).toBe("lifetime_exceeded");
    expect(refusal({ exp: 1001 }, { maxTokenLifetime: 60 })).toBe("lifetime_exceeded");
  });

  test("required claims are compared with ===, on the token's own properties only", () => {
    const requiredClaims = new Map<string, string | number | boolean>([
      ["role", "a"],
      ["n", 1],
      ["b", true],
    ]);
    expect(refusal({ exp: 9999, role: "a", n: 1, b: true }, { requiredClaims })).toBeUndefined();
    for (const wrong of [{ role: "A" }, { role: ["a"] }, { n: "1" }, { b: 1 }, { b: "true" }, { role: undefined }]) {
      expect(refusal({ exp: 9999, role: "a", n: 1, b: true, ...wrong }, { requiredClaims })).toBe("claim_mismatch");
    }
    const inherited = new Map([["toString", Object.prototype.toString as unknown as string]]);
    expect(refusal({ exp: 9999 }, { requiredClaims: inherited })).toBe("claim_mismatch");
  });
});
