import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mistypedClaim, LIMITS, type JsonObject } from "countersign/protocol";
import { buildClaims, buildHeader, latestExpiry, problemOfClaims } from "../../../src/domain/tokens/token.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { nested } from "../../support/core.ts";
import { signingKey } from "../../support/keys.ts";

const SECOND = 1000;
const IAT = NEW_YEAR / SECOND;
const build = (
  payload: JsonObject,
  { validity = 60, key = signingKey(), now = NEW_YEAR, issuer = "https://a.test" } = {},
) => buildClaims({ payload, issuer, validity }, key, now, "jti-1");
const claimsOf = (built: ReturnType<typeof build>) => {
  if (!built.ok) throw new Error(built.problem);
  return built.claims;
};

describe("buildClaims", () => {
  it("adds iss, jti, iat and exp to the payload, in whole seconds", () => {
    expect(build({ sub: "orders" }, { now: NEW_YEAR + 999 })).toEqual({
      ok: true,
      clamped: false,
      claims: { iss: "https://a.test", jti: "jti-1", sub: "orders", iat: IAT, exp: IAT + 60 },
    });
  });

  it("lets the payload's iss and jti win (C10)", () => {
    expect(claimsOf(build({ iss: "own", jti: "mine" }))).toMatchObject({ iss: "own", jti: "mine" });
  });

  it("rejects exp and iat, even if undefined, and names validity (C10)", () => {
    for (const payload of [{ exp: 1 }, { iat: 1 }, { exp: undefined }]) {
      expect(build(payload)).toEqual({ ok: false, problem: expect.stringMatching(/validity/) });
    }
  });

  it("does not read claims from a prototype", () => {
    const payload = Object.create({ exp: 1, iss: "inherited" }) as JsonObject;
    expect(claimsOf(build(payload))).toEqual({ iss: "https://a.test", jti: "jti-1", iat: IAT, exp: IAT + 60 });
  });

  it("clamps exp to the second in which its key stops verifying, and reports it", () => {
    const key = signingKey({ verifiesUntil: NEW_YEAR + 59_999 });
    expect(build({}, { key })).toMatchObject({ ok: true, clamped: true, claims: { exp: IAT + 59 } });
    expect(build({}, { key, validity: 59 })).toMatchObject({ ok: true, clamped: false, claims: { exp: IAT + 59 } });
  });

  it("rejects claims that no verifier accepts", () => {
    for (const payload of ['{"userId":9007199254740993}', '{"a":[{"b":-1e20}]}']) {
      expect(build(JSON.parse(payload) as JsonObject)).toEqual({ ok: false, problem: expect.stringContaining("2^53") });
    }
    expect(build({ a: Number.MAX_SAFE_INTEGER, b: 0.1, c: 1.5e-7 }).ok).toBe(true);
    expect(build({ sub: 1 })).toEqual({ ok: false, problem: expect.stringContaining("'sub'") });
    for (const issuer of ["a\0b", "a\ud800"]) {
      expect(build({}, { issuer })).toEqual({ ok: false, problem: expect.stringContaining("jwksDomain") });
    }
  });

  it("for any payload, gives claims that our verifier accepts or an error; exp is never after the key's end (R16)", () => {
    const name = fc.oneof(fc.constantFrom("iss", "sub", "aud", "jti", "nbf", "exp", "iat", "constructor"), fc.string());
    const payload = fc.dictionary(name, fc.jsonValue({ maxDepth: 4 }), { maxKeys: 6 });
    const verifiesUntil = fc.option(fc.integer({ min: NEW_YEAR, max: NEW_YEAR + 1e9 }));
    fc.assert(
      fc.property(payload, fc.integer({ min: 1, max: LIMITS.validity }), verifiesUntil, (given, validity, end) => {
        const key = signingKey({ verifiesUntil: end });
        const built = build(given as JsonObject, { validity, key });
        if (!built.ok) {
          expect(built.problem).toMatch(/^payload/);
          return;
        }
        const { exp, iat } = built.claims as { exp: number; iat: number };
        expect(mistypedClaim(built.claims)).toBeUndefined();
        expect(iat).toBe(IAT);
        expect(exp).toBeGreaterThanOrEqual(iat);
        expect(exp).toBeLessThanOrEqual(iat + validity);
        if (end !== null) expect(exp * SECOND).toBeLessThanOrEqual(end);
        expect(built.clamped).toBe(exp < iat + validity);
      }),
      { numRuns: 500 },
    );
  });
});

describe("problemOfClaims", () => {
  it("accepts claims that a verifier can read", () => {
    const built = build({ ...(JSON.parse(nested(15)) as JsonObject), constructors: "\ud83d\ude00" });
    expect(problemOfClaims(claimsOf(built))).toBeUndefined();
  });

  it.each([
    ["depth over 16", JSON.parse(nested(17)) as JsonObject, "16"],
    ["a forbidden name", JSON.parse('{"__proto__":1}') as JsonObject, "__proto__"],
    ["a lone surrogate", { a: "\ud800" }, "read identically"],
  ])("names %s", (_what, claims, word) => {
    const built = build(claims);
    expect(problemOfClaims(claimsOf(built))).toContain(word);
  });
});

describe("latestExpiry and buildHeader", () => {
  it("round down, and are unlimited for a key without an end", () => {
    expect(latestExpiry(signingKey({ verifiesUntil: 1_999 }))).toBe(1);
    expect(latestExpiry(signingKey())).toBe(Infinity);
  });

  it("name algorithm, type and key, in this order", () => {
    expect(JSON.stringify(buildHeader(signingKey({ kid: "s-7", algorithm: "ES256" })))).toBe(
      '{"alg":"ES256","typ":"JWT","kid":"s-7"}',
    );
  });
});
