// Rules of a route: callers, scopes and report-only.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { explainToken } from "../../../src/verify/explain.ts";
import type { VerifierOptions } from "../../../src/verify/verifier-options.ts";
import { openRoute, openPrimedRoute } from "../../support/protected-route.ts";
import { fakeClock } from "../../support/clock.ts";
import { readerOf, serveIssuer } from "../../support/issuer.ts";
import { edKey, NOW, rsaKey, tokenBy } from "../../support/keys.ts";

const key = edKey();
const FORBIDDEN = { status: 403 };
const reported = (events: readonly { type: string; reason?: string }[]) =>
  events.filter(({ type }) => type === "would_refuse").map(({ reason }) => reason);

describe("S3 scope", () => {
  const routeFor = (scope: string | readonly string[]) =>
    openPrimedRoute(key, { scope }, { scope: "stock:read stock:reserve" });

  test.each([["stock:reserve"], [["stock:reserve"]], ["stock:reserve stock:read"], [["stock:read", "stock:reserve"]]])(
    "S3 a token with all of %j is accepted, in any order and with other scopes",
    async (scope) => {
      const { expectAllowed } = await routeFor(scope);
      for (const has of ["stock:reserve stock:read", "a stock:read b stock:reserve c"]) {
        const caller = await expectAllowed(tokenBy(key, { scope: has }));
        expect(caller.scopes).toEqual(has.split(" "));
        expect(Object.isFrozen(caller.scopes)).toBe(true);
      }
    },
  );

  test.each([
    [undefined],
    [""],
    ["stock"],
    ["stock:reserve2"],
    ["xstock:reserve"],
    ["STOCK:RESERVE"],
    ["stock:*"],
    ["*"],
    ["stock:reserve,stock:read"],
    ["stock:reserve\tstock:read"],
    ["stock:reserve\n"],
    ["stock:reserve\u00a0"],
    [["stock:reserve"]],
    [{ "stock:reserve": true }],
    [null],
    [1],
  ])("S3 scope %j is not stock:reserve", async (scope) => {
    const { verifier, expectRefused } = await routeFor("stock:reserve");
    const token = tokenBy(key, { scope });
    await expectRefusedWith(verifier, token, "stock:reserve");
    await expectRefusedWith(verifier, token, "stock:reserve"); // nor the second time
    await expectRefused(tokenBy(key, { scope, source: "user" }), "claim_mismatch", FORBIDDEN);
  });

  test("S3 one missing scope of several is enough to reject", async () => {
    const scopes = fc.uniqueArray(fc.stringMatching(/^[!#-[\]-~]{1,20}$/), { minLength: 1, maxLength: 5 });
    const { keys } = await openRoute([key]);
    await fc.assert(
      fc.asyncProperty(scopes, fc.nat(), async (scope, at) => {
        const { verifier } = await openOn(keys.jwksUri, { scope });
        expect(await verifier.verify(tokenBy(key, { scope: scope.join(" ") }))).toMatchObject({ allowed: true });
        const rest = scope.filter((_, i) => i !== at % scope.length).join(" ");
        await expectRefusedWith(verifier, tokenBy(key, { scope: rest }), scope.join(" "));
        verifier.close();
      }),
      { numRuns: 20 },
    );
  });

  test("a token without a scope claim has no scopes", async () => {
    const { expectAllowed } = await openRoute([key]);
    expect((await expectAllowed(tokenBy(key))).scopes).toEqual([]);
    expect((await expectAllowed(tokenBy(key, { scope: ["a"] }))).scopes).toEqual([]);
  });
});

describe("S3 allow", () => {
  test.each([["orders"], [["orders"]], [["billing", "orders"]]])("S3 allow %j accepts orders", async (allow) => {
    const { expectAllowed, expectRefused } = await openRoute([key], { allow });
    expect((await expectAllowed(tokenBy(key))).service).toBe("orders");
    for (const sub of ["Orders", "orders2", "order", "orders ", "", "shipping", undefined]) {
      await expectRefused(tokenBy(key, { sub }), "caller_not_allowed", FORBIDDEN);
    }
    // Only sub names the caller.
    await expectRefused(tokenBy(key, { sub: "shipping", service: "orders" }), "caller_not_allowed", FORBIDDEN);
    await expectRefused(tokenBy(key, { sub: undefined, service: "orders" }), "caller_not_allowed", FORBIDDEN);
    await expectRefused(tokenBy(key, { source: "user" }), "claim_mismatch", FORBIDDEN);
  });

  test("of one issuer of several does not apply to the others", async () => {
    const [one, two] = [await serveIssuer(key), await serveIssuer(edKey("s-2"))];
    const { outcome } = readerOf(one, {
      jwksUri: [
        { issuer: "https://one.test", jwksUri: one.jwksUri, allow: "orders", scope: "stock:read" },
        { issuer: "https://two.test", jwksUri: two.jwksUri, allow: "billing" },
      ],
    });
    const [a, b] = [one.keys[0]!, two.keys[0]!];
    expect(await outcome(tokenBy(a, { iss: "https://one.test", scope: "stock:read" }))).toBe("allowed");
    expect(await outcome(tokenBy(a, { iss: "https://one.test" }))).toBe("insufficient_scope");
    expect(await outcome(tokenBy(b, { iss: "https://two.test" }))).toBe("caller_not_allowed");
    expect(await outcome(tokenBy(b, { iss: "https://two.test", sub: "billing" }))).toBe("allowed");
  });
});

test("V2 two routes with one key set share no cached tokens: each checks its own rules", async () => {
  const token = tokenBy(key, { aud: "inventory", scope: "stock:read" });
  const reading = await openRoute([key], { audience: "inventory", scope: "stock:read" });
  const reserving = await openRoute([key], { audience: "inventory", scope: "stock:reserve" });
  const closed = await openRoute([key], { audience: "inventory", allow: "billing" });
  for (let i = 0; i < 3; i++) {
    await reading.expectAllowed(token);
    expect(await reserving.verifier.verify(token)).toMatchObject({ reason: "insufficient_scope" });
    expect(await closed.verifier.verify(token)).toMatchObject({ reason: "caller_not_allowed" });
  }
});

test("a rejection is reported with the expected and the actual value", async () => {
  const { verifier, events } = await openPrimedRoute(
    key,
    { allow: ["orders", "billing"], scope: "a b" },
    { scope: "a b" },
  );
  await verifier.verify(tokenBy(key, { sub: "shipping" }));
  await verifier.verify(tokenBy(key, { scope: "a" }));
  expect(events.slice(-2)).toMatchObject([
    { type: "refused", reason: "caller_not_allowed", expected: '["orders","billing"]', seen: "shipping" },
    { type: "refused", reason: "insufficient_scope", sub: "orders", expected: "a b", seen: "a" },
  ]);
});

describe("report-only", () => {
  const rules: Omit<VerifierOptions, "jwksUri"> = {
    audience: "inventory",
    allow: "orders",
    scope: "stock:reserve",
    reportOnly: true,
  };
  const good = { aud: "inventory", scope: "stock:reserve" };

  test("accepts callers that the rules do not allow, and reports each request", async () => {
    const { events, expectAllowed } = await openRoute([key], rules);
    await expectAllowed(tokenBy(key, good));
    expect(reported(events)).toEqual([]);
    for (const [claims, reason, expected, seen] of [
      [{ aud: "billing" }, "audience_mismatch", '["inventory"]', "billing"],
      [{ aud: undefined }, "audience_mismatch", '["inventory"]', undefined],
      [{ sub: "shipping" }, "caller_not_allowed", '["orders"]', "shipping"],
      [{ scope: "stock:read" }, "insufficient_scope", "stock:reserve", "stock:read"],
    ] as const) {
      const token = tokenBy(key, { ...good, ...claims });
      for (let i = 0; i < 2; i++) {
        events.length = 0;
        await expectAllowed(token);
        expect(events.filter(({ type }) => type !== "keys_refreshed")).toEqual([
          expect.objectContaining({ type: "would_refuse", reason, expected, jti: "id-1", kid: key.kid }),
        ]);
        expect(events[0]).toMatchObject(seen === undefined ? {} : { seen });
        expect(JSON.stringify(events)).not.toContain(token.slice(-20));
      }
    }
  });

  test("of a route without an audience, a token for another service is accepted and reported", async () => {
    const { events, expectAllowed } = await openRoute([key], { reportOnly: true });
    await expectAllowed(tokenBy(key));
    expect(reported(events)).toEqual([]);
    await expectAllowed(tokenBy(key, { aud: "billing" }));
    expect(reported(events)).toEqual(["audience_mismatch"]);
  });

  test("S3 tolerates no other failure, alone or together with one that it tolerates", async () => {
    const { events, clock, expectAllowed, expectRefused } = await openRoute([key], {
      ...rules,
      issuer: "https://core.test",
      maxTokenLifetime: 7_200,
    });
    const short = tokenBy(key, { ...good, aud: "billing", exp: NOW + 60 });
    for (let i = 0; i < 2; i++) await expectAllowed(short);
    events.length = 0;
    const forged = [tokenBy(edKey(), good), tokenBy(edKey(), { aud: "billing" })];
    for (const token of forged) await expectRefused(token, "signature_invalid");
    for (const wrong of [{}, { aud: "billing", sub: "shipping", scope: "" }]) {
      const refusals = [
        [{ exp: NOW - 31 }, "token_expired"],
        [{ nbf: NOW + 31 }, "token_not_yet_valid"],
        [{ iss: "https://other.test" }, "issuer_mismatch"],
        [{ exp: NOW + 7_201 }, "lifetime_exceeded"],
        [{ aud: [1] }, "claims_malformed"],
        [{ sub: 1 }, "claims_malformed"],
      ] as const;
      for (const [claims, reason] of refusals)
        await expectRefused(tokenBy(key, { ...good, ...wrong, ...claims }), reason);
      for (const source of [undefined, "user", true]) {
        await expectRefused(tokenBy(key, { ...good, ...wrong, source }), "claim_mismatch", FORBIDDEN);
      }
      await expectRefused(tokenBy(key, { ...good, ...wrong }, { typ: "id+jwt" }), "typ_not_allowed");
    }
    clock.advance(91); // an accepted and cached token expires like any other
    await expectRefused(short, "token_expired");
    expect(reported(events)).toEqual([]);
  });

  test("S3 tolerates no revocation, of a token that was accepted or of another", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({});
    const { outcome, later, events } = readerOf(issuer, rules);
    const [kept, other] = [tokenBy(key, { jti: "a", aud: "billing" }), tokenBy(key, { jti: "b", aud: "billing" })];
    for (let i = 0; i < 2; i++) expect(await outcome(kept)).toBe("allowed");
    issuer.revoke({
      tokens: [
        ["a", NOW + 3600],
        ["b", NOW + 3600],
      ],
    });
    await later(60, tokenBy(key, good), "revocations_refreshed");
    const before = reported(events).length;
    expect(await outcome(kept)).toBe("token_revoked");
    expect(await outcome(other)).toBe("token_revoked");
    expect(reported(events)).toHaveLength(before);
  });

  test("is explained: a reported check accepts the token, and a failed one does not", async () => {
    const { jwksUri } = await serveIssuer(key);
    const explain = (claims: object) => explainToken(tokenBy(key, claims), { ...rules, jwksUri }, fakeClock());
    const { allowed, checks } = await explain({ ...good, aud: "billing", scope: "a" });
    expect(allowed).toBe(true);
    const outcomes = checks.filter(({ outcome }) => outcome === "reported" || outcome === "failed");
    expect(outcomes).toMatchObject([
      { name: "aud", outcome: "reported", reason: "audience_mismatch" },
      { name: "scope", outcome: "reported", expected: "stock:reserve", seen: "a" },
    ]);
    expect(await explain({ ...good, aud: "billing", source: "user" })).toMatchObject({ allowed: false });
  });
});

test("T23 one route accepts tokens of the recipe and of the token endpoint", async () => {
  const recipe = rsaKey("s-recipe");
  const { expectAllowed, expectRefused } = await openRoute([recipe, key], {
    audience: "inventory",
    allow: "orders",
    scope: "stock:reserve",
  });
  const claims = { aud: "inventory", scope: "stock:read stock:reserve" };
  for (const token of [
    tokenBy(recipe, claims, { typ: "JWT" }),
    tokenBy(key, { ...claims, client_id: "orders" }, { typ: "at+jwt" }),
  ]) {
    expect(await expectAllowed(token)).toMatchObject({ service: "orders", scopes: ["stock:read", "stock:reserve"] });
  }
  // RFC 9068 section 2.2: an end user's access token is of the same typ.
  const ofUser = tokenBy(key, { ...claims, source: undefined, client_id: "spa" }, { typ: "at+jwt" });
  await expectRefused(ofUser, "claim_mismatch", FORBIDDEN);
});

async function openOn(jwksUri: string, options: Partial<VerifierOptions>) {
  const { buildVerifier } = await import("../../../src/verify/verifier.ts");
  return { verifier: buildVerifier({ jwksUri, ...options }, undefined, fakeClock()) };
}

async function expectRefusedWith(verifier: { verify(token: string): Promise<unknown> }, token: string, scope: string) {
  expect(await verifier.verify(token)).toEqual({ allowed: false, reason: "insufficient_scope", status: 403, scope });
}
