// Checks of the claims of tokens with a valid signature.
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { openRoute, openPrimedRoute, type ProtectedRoute } from "../../support/protected-route.ts";
import { claimsWithout, edKey, forge, goodClaims, headerOf, NOW, tokenBy } from "../../support/keys.ts";

const key = edKey();
let route: ProtectedRoute;
beforeAll(async () => {
  route = await openPrimedRoute(key);
});
const signed = (claims: object | string) => forge(key, headerOf(key), claims);

describe("C1 iss", () => {
  const issuer = "https://core.test/auth";
  let strict: ProtectedRoute;
  beforeAll(async () => {
    strict = await openPrimedRoute(key, { issuer }, { iss: issuer });
  });

  test.each([
    ["https://core.test/auth/"],
    ["https://core.test"],
    ["https://core.test/aut"],
    ["https://core.test/auth2"],
    ["https://core.test/auth/../auth"],
    ["https://CORE.test/auth"],
    ["https://core.test/Auth"],
    ["HTTPS://core.test/auth"],
    ["http://core.test/auth"],
    ["https://core.test:443/auth"],
    [" https://core.test/auth"],
    ["https://core.test/auth "],
    ["https://core.test/auth?x"],
    ["https://core.test/auth#"],
    ["https://cоre.test/auth"],
    ["core.test/auth"],
    [""],
    ["*"],
    [".*"],
  ])("C1 iss %j is another issuer", async (iss) => strict.expectRefused(tokenBy(key, { iss }), "issuer_mismatch"));

  test.each([[[issuer]], [["x", issuer]], [{ [issuer]: 1 }], [null], [1], [true], [`${issuer}\0`]])(
    "C1 iss %j is not an issuer",
    async (iss) => strict.expectRefused(tokenBy(key, { iss }), "claims_malformed"),
  );

  test("C1 a missing iss is rejected if issuer is set, and ignored otherwise", async () => {
    await strict.expectRefused(signed(claimsWithout("iss")), "issuer_mismatch");
    await route.expectAllowed(signed(claimsWithout("iss")));
    await route.expectAllowed(tokenBy(key, { iss: "anything" }));
  });
});

describe("C2 aud", () => {
  let named: ProtectedRoute;
  beforeAll(async () => {
    named = await openPrimedRoute(key, { audience: ["inventory", "stock"] }, { aud: "inventory" });
  });

  test.each([["inventory"], ["stock"], [["inventory"]], [["other", "stock"]]])(
    "C2 aud %j is for this route",
    async (aud) => {
      await named.expectAllowed(tokenBy(key, { aud }));
    },
  );

  test.each([
    ["Inventory"],
    ["inventory "],
    ["invent"],
    ["inventory2"],
    [""],
    [[]],
    [["other"]],
    [["inventory,stock"]],
    ["inventory stock"],
    ["*"],
  ])("C2 aud %j is for another", async (aud) => named.expectRefused(tokenBy(key, { aud }), "audience_mismatch"));

  test.each([[["inventory", 1]], [[["inventory"]]], [{ inventory: true }], [1], [null], [true], [[null]]])(
    "C2 aud %j is malformed",
    async (aud) => named.expectRefused(tokenBy(key, { aud }), "claims_malformed"),
  );

  test("C2 a route with a name rejects a token without aud", async () =>
    named.expectRefused(tokenBy(key), "audience_mismatch"));

  test("C2 a route without a name rejects a token with any aud", async () => {
    for (const aud of ["inventory", "", [], ["x"]])
      await route.expectRefused(tokenBy(key, { aud }), "audience_mismatch");
  });

  test("audience: null accepts any aud, except a malformed one", async () => {
    const open = await openPrimedRoute(key, { audience: null });
    for (const aud of ["x", ["x"], []]) await open.expectAllowed(tokenBy(key, { aud }));
    await open.expectRefused(tokenBy(key, { aud: [1] }), "claims_malformed");
  });
});

describe("C3 times", () => {
  test("C3 a time that is not an integer from 0 to 253402300799 is rejected, never skipped", async () => {
    const notATime = fc.oneof(
      fc
        .jsonValue()
        .filter(
          (value) => !(Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 253_402_300_799),
        ),
      fc.constantFrom("9999999999", null, true, [NOW], {}, 1e308, -1, NOW + 0.5, 253_402_300_800, "NaN", ""),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom("exp", "nbf", "iat"), notATime, async (name, value) => {
        const decision = await route.verifier.verify(signed(goodClaims({ [name]: value })));
        expect(decision.allowed ? "allowed" : decision.reason).toMatch(/^(claims_malformed|token_malformed)$/);
      }),
      { numRuns: 300 },
    );
  });

  test.each([["1e999"], ["NaN"], ["-0.5"], ["1e308"], ["1e3000"]])(
    "C3 exp of %s in the text is rejected",
    async (exp) => {
      const decision = await route.verifier.verify(
        signed(JSON.stringify(claimsWithout("exp")).replace(/}$/, `,"exp":${exp}}`)),
      );
      expect(decision).toMatchObject({ allowed: false, status: 401 });
    },
  );
});

describe("C5 C6 clocks", () => {
  test("C5 the default tolerance is exactly 30 s", async () => {
    const own = await openPrimedRoute(key);
    await own.expectAllowed(tokenBy(key, { exp: NOW - 29 }));
    await own.expectRefused(tokenBy(key, { exp: NOW - 30 }), "token_expired");
    await own.expectAllowed(tokenBy(key, { nbf: NOW + 30 }));
    await own.expectRefused(tokenBy(key, { nbf: NOW + 31 }), "token_not_yet_valid");
  });

  test.each([
    [0, NOW + 1, NOW],
    [300, NOW - 299, NOW - 300],
  ])("C5 a tolerance of %i s is exact", async (clockTolerance, alive, dead) => {
    const own = await openPrimedRoute(key, { clockTolerance });
    await own.expectAllowed(tokenBy(key, { exp: alive }));
    await own.expectRefused(tokenBy(key, { exp: dead }), "token_expired");
  });

  test("C6 an iat further in the future than the tolerance is rejected", async () => {
    await route.expectAllowed(tokenBy(key, { iat: NOW + 30 }));
    await route.expectRefused(tokenBy(key, { iat: NOW + 31 }), "token_not_yet_valid");
    await route.expectRefused(tokenBy(key, { iat: NOW + 86_400, exp: NOW + 90_000 }), "token_not_yet_valid");
  });

  test("a token expires when the clock reaches its exp", async () => {
    const own = await openPrimedRoute(key);
    const token = tokenBy(key, { exp: NOW + 10 });
    own.clock.advance(39);
    await own.expectAllowed(token);
    own.clock.advance(1);
    await own.expectRefused(token, "token_expired");
  });
});

describe("C7 names of prototypes", () => {
  test.each([["__proto__"], ["constructor"], ["prototype"]])(
    "C7 a claim named %s is rejected, at any depth",
    async (name) => {
      const text = JSON.stringify(goodClaims()).slice(0, -1);
      for (const member of [`"${name}":{"admin":true}`, `"x":[{"${name}":1}]`]) {
        await route.expectRefused(signed(`${text},${member}}`), "token_malformed");
      }
      expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
    },
  );

  test("C7 claims and header have no prototype at any depth, so only names in the token exist", async () => {
    const { claims, header } = await route.expectAllowed(tokenBy(key, { x: [{ y: {} }] }, { z: {} }));
    const [inner] = claims["x"] as [{ y: object }];
    for (const object of [claims, inner, inner.y, header, header["z"]] as Record<string, unknown>[]) {
      for (const name of Reflect.ownKeys(Object.prototype)) expect(name in object, String(name)).toBe(false);
      expect(() => Object.assign(Object.getPrototypeOf(object) as object, { admin: true })).toThrow(TypeError);
    }
  });

  test("C7 changes of Object.prototype in the process do not appear in tokens", async () => {
    const polluted = { admin: true, kid: key.kid, sub: "admin", source: "microservice", nbf: NOW + 9999 };
    for (const [name, value] of Object.entries(polluted)) {
      Reflect.defineProperty(Object.prototype, name, { value, configurable: true, writable: true });
    }
    try {
      const caller = await route.expectAllowed(signed({ source: "microservice", exp: NOW + 60 }));
      expect([caller.service, caller.claims["admin"], caller.header["admin"]]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect(await route.verifier.verify(signed({ exp: NOW + 60 }))).toMatchObject({ reason: "claim_mismatch" });
      const withoutKid = forge(key, { alg: "Ed25519" }, goodClaims());
      expect(await route.verifier.verify(withoutKid)).toMatchObject({ reason: "header_not_allowed" });
    } finally {
      for (const name of Object.keys(polluted)) Reflect.deleteProperty(Object.prototype, name);
    }
  });

  test.each([["__proto__"], ["constructor"], ["toString"], ["hasOwnProperty"], ["valueOf"]])(
    "C7 K3 kid %s finds nothing",
    async (kid) => {
      const own = await openPrimedRoute(key);
      await own.expectRefused(tokenBy(key, {}, { kid }), "key_unknown", { fetches: 1 });
    },
  );
});

describe("required claims", () => {
  test("a token of an end user is valid, but not for this route", async () => {
    await route.expectRefused(signed(claimsWithout("source")), "claim_mismatch", { status: 403 });
    for (const source of ["user", "Microservice", "microservice ", ["microservice"], null, true]) {
      await route.expectRefused(tokenBy(key, { source }), "claim_mismatch", { status: 403 });
    }
  });

  test("other claims can be required, or none", async () => {
    const strict = await openRoute([key], { requiredClaims: { role: "reader", level: 2, live: true } });
    await strict.expectAllowed(signed({ exp: NOW + 1, role: "reader", level: 2, live: true }));
    await strict.expectRefused(signed({ exp: NOW + 1, role: "reader", level: "2", live: true }), "claim_mismatch", {
      status: 403,
    });
    const open = await openRoute([key], { requiredClaims: {} });
    await open.expectAllowed(signed({ exp: NOW + 1 }));
  });
});
