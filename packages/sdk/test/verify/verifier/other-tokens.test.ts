// Tokens that are valid elsewhere: of another kind, or at another time.
import { beforeAll, describe, expect, test, vi } from "vitest";
import { openRoute, openPrimedRoute, type ProtectedRoute } from "../../support/protected-route.ts";
import { claimsWithout, edKey, forge, goodClaims, headerOf, NOW, tokenBy } from "../../support/keys.ts";

const key = edKey();
let route: ProtectedRoute;
beforeAll(async () => {
  route = await openPrimedRoute(key);
});

describe("T23 typ", () => {
  test.each([[undefined], ["JWT"], ["at+jwt"]])("T23 typ %j is a token for services", async (typ) => {
    await route.expectAllowed(forge(key, { alg: "Ed25519", kid: key.kid, ...(typ && { typ }) }, goodClaims()));
  });

  test.each([
    ["jwt"],
    ["JOSE"],
    ["id+jwt"],
    ["logout+jwt"],
    ["dpop+jwt"],
    ["rt+jwt"],
    ["secevent+jwt"],
    ["vp+jwt"],
    ["revocations+jwt"],
    ["AT+JWT"],
    ["application/at+jwt"],
    ["JWT "],
    [""],
    [null],
    [["JWT"]],
    [1],
    [false],
  ])("T23 typ %j is another kind of token", async (typ) =>
    route.expectRefused(tokenBy(key, {}, { typ }), "typ_not_allowed"),
  );
});

describe("T23 other kinds of token, signed by a key that the callee trusts", () => {
  const base = { iss: "https://core.test", sub: "user-1", iat: NOW, exp: NOW + 300 };
  /** As their issuers write them; without a typ if theirs have none. */
  const kinds: [string, object, object][] = [
    ["an ID token", {}, { ...base, aud: "inventory", nonce: "n", azp: "inventory", auth_time: NOW, at_hash: "x" }],
    ["an ID token with a typ", { typ: "id+jwt" }, { ...base, aud: "inventory", nonce: "n" }],
    ["a session of a user", { version: "5" }, { ...base, sessionHandle: "h", refreshTokenHash1: "x", tId: "public" }],
    ["an access token of a user", { typ: "at+jwt" }, { ...base, aud: "inventory", client_id: "spa", scope: "all" }],
    ["a refresh token", { typ: "rt+jwt" }, { ...base, aud: "inventory", source: "microservice" }],
    ["a logout token", { typ: "logout+jwt" }, { ...base, aud: "inventory", events: {}, jti: "j" }],
    ["a security event", { typ: "secevent+jwt" }, { iss: base.iss, iat: NOW, aud: "inventory", events: {} }],
    ["a DPoP proof", { typ: "dpop+jwt", jwk: key.jwk }, { jti: "j", htm: "GET", htu: "http://a.test/", iat: NOW }],
    ["a presentation", { typ: "vp+jwt" }, { ...base, aud: "inventory", vp: { holder: "x" }, nonce: "n" }],
    ["a presentation without a typ", {}, { ...base, aud: "inventory", vp: { holder: "x" }, nonce: "n" }],
    ["a client's assertion", {}, { iss: "orders", sub: "orders", aud: base.iss, jti: "j", exp: NOW + 60 }],
    ["a request object", { typ: "oauth-authz-req+jwt" }, { ...base, client_id: "spa", redirect_uri: "http://a.test" }],
    ["an introspection answer", { typ: "token-introspection+jwt" }, { ...base, token_introspection: {} }],
    ["a revocation feed", { typ: "revocations+jwt" }, { iat: NOW, generation: 1, epoch: 1, tokens: [], services: [] }],
  ];
  let named: ProtectedRoute;
  beforeAll(async () => {
    named = await openPrimedRoute(key, { audience: "inventory" }, { aud: "inventory" });
  });

  test.each(kinds)("T23 %s is accepted by no route, with a name or without", async (_kind, header, claims) => {
    const token = forge(key, { ...headerOf(key), ...header }, claims);
    for (const one of [route, named]) {
      for (const decision of [
        await one.verifier.verify(token),
        await one.verifier.verifyAuthorization(`Bearer ${token}`),
      ]) {
        expect(decision).toMatchObject({ allowed: false, status: expect.toSatisfy((is) => is === 401 || is === 403) });
      }
    }
  });
});

describe("C9 the same token again", () => {
  test("C9 is accepted until its exp, and never after", async () => {
    const own = await openPrimedRoute(key);
    const token = tokenBy(key, { exp: NOW + 60 });
    for (let i = 0; i < 89; i++) {
      await own.expectAllowed(token);
      own.clock.advance(1);
    }
    await own.expectAllowed(token);
    own.clock.advance(1);
    for (let i = 0; i < 3; i++) await own.expectRefused(token, "token_expired");
  });

  test("C9 is rejected as soon as the feed lists its key, although it was accepted before", async () => {
    const revoked = edKey("s-revoked");
    const own = await openRoute([revoked, key]);
    const token = tokenBy(revoked);
    await own.expectAllowed(token);
    own.keys.publish(key);
    await own.expectRefused(tokenBy(key, {}, { kid: "s-none" }), "key_unknown", { fetches: 1 }); // causes a fetch of the set
    await own.expectRefused(token, "key_unknown");
    await own.expectAllowed(tokenBy(key));
  });
});

describe("C4 lifetimes", () => {
  test("C4 a token without exp is rejected", async () =>
    route.expectRefused(forge(key, headerOf(key), claimsWithout("exp")), "claims_malformed"));

  const late = [2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 4_102_444_800, 4_949_036_380, NOW + 3_153_600_000, 253_402_300_799];
  test.each(late)("C4 an exp of %i is accepted if no lifetime is set", async (exp) => {
    await route.expectAllowed(tokenBy(key, { exp }));
  });

  test("C4 a verifier with a maxTokenLifetime rejects a hundred years", async () => {
    const strict = await openPrimedRoute(key, { maxTokenLifetime: 3600 });
    await strict.expectRefused(tokenBy(key, { exp: NOW + 3601 }), "lifetime_exceeded");
    await strict.expectRefused(tokenBy(key, { exp: NOW + 3_153_600_000 }), "lifetime_exceeded");
    await strict.expectRefused(forge(key, headerOf(key), claimsWithout("iat")), "lifetime_exceeded");
  });

  test("C4 no timer depends on exp: a timer beyond 2^31 - 1 ms would fire immediately", async () => {
    const own = await openRoute([key]);
    const setTimer = vi.spyOn(globalThis, "setTimeout");
    try {
      for (const exp of [NOW + 1, NOW + 60, ...late]) await own.expectAllowed(tokenBy(key, { exp }));
      const delays = setTimer.mock.calls.map(([, delay]) => delay ?? 0);
      expect(delays.length).toBeGreaterThan(0); // the refresh of the key set
      for (const delay of delays) expect(delay).toBeLessThanOrEqual(3_600_000);
    } finally {
      setTimer.mockRestore();
    }
  });
});
