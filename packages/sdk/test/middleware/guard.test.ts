// Decisions of a guard beyond its verifier: optional routes, for services and end users.
import { describe, expect, test, vi } from "vitest";
import { buildCountersign } from "../../src/instance/countersign.ts";
import type { VerifierEvent } from "../../src/telemetry/events.ts";
import { createGuard, type GuardOptions } from "../../src/middleware/guard.ts";
import { fakeClock } from "../support/clock.ts";
import { appInfo, closingInstance } from "../support/instances.ts";
import { serveIssuer } from "../support/issuer.ts";
import { edKey, NOW, tokenBy } from "../support/keys.ts";

const key = edKey();
const ofUser = (claims: object = {}) => tokenBy(key, { source: undefined, sub: "alice", ...claims });
const ofOrders = (claims: object = {}) => tokenBy(key, { aud: "inventory", scope: "stock:read", ...claims });

/** The guard of an optional route, and its response: the caller's name, no caller, or the challenge. */
async function optionalRoute(options: GuardOptions = {}, debug = false) {
  const issuer = await serveIssuer(key);
  issuer.revoke({ tokens: [["gone", NOW + 3_600]] });
  const clock = fakeClock();
  const { countersign } = buildCountersign({ appInfo, debug }, { clock });
  closingInstance(countersign);
  const events: VerifierEvent[] = [];
  const onEvent = debug ? undefined : (event: VerifierEvent) => void events.push(event);
  const rules = { jwksUri: issuer.jwksUri, audience: "inventory", ...options };
  const guard = createGuard({ countersign, optional: true, onEvent, ...rules });
  const answer = async (token: string) => {
    const outcome = await guard([`Bearer ${token}`]);
    if (outcome.allowed) return outcome.caller?.service ?? "nobody";
    return `${outcome.answer.status} ${outcome.answer.headers["www-authenticate"]?.replace(/^.*?, /, "")}`;
  };
  const reported = () => events.splice(0).filter(({ type }) => type === "refused" || type === "would_refuse");
  return { answer, reported, clock, issuer };
}

const INVALID = '401 error="invalid_token"';
const FORBIDDEN = '403 error="insufficient_scope"';

describe("an optional route with an audience", () => {
  test("T23 accepts a valid end user token without a caller, for any audience, and reports no rejection", async () => {
    const { answer, reported } = await optionalRoute({ allow: ["orders"], scope: "stock:read" });
    for (const aud of [undefined, "inventory", "billing", "https://shop.test", ["a", "b"], []]) {
      for (const source of [undefined, "user", 1]) expect(await answer(ofUser({ aud, source }))).toBe("nobody");
    }
    expect(reported()).toEqual([]);
    expect(await answer(ofOrders())).toBe("orders");
    expect(reported()).toEqual([]);
  });

  test("T23 rejects an invalid token and reports the reason", async () => {
    const { answer, reported, clock } = await optionalRoute({ issuer: "https://core.test" });
    const iss = "https://core.test";
    expect(await answer(ofUser({ iss }))).toBe("nobody");
    const bad = [
      [tokenBy(edKey(), { source: undefined, iss }), "signature_invalid"],
      [ofUser({ iss, exp: NOW - 31 }), "token_expired"],
      [ofUser({ iss, nbf: NOW + 31 }), "token_not_yet_valid"],
      [ofUser({ iss: "https://other.test" }), "issuer_mismatch"],
      [ofUser({ iss, aud: [1] }), "claims_malformed"],
      [ofUser({ iss, jti: "gone" }), "token_revoked"],
    ] as const;
    for (const [token, reason] of bad) {
      for (let i = 0; i < 2; i++) expect([reason, await answer(token)]).toEqual([reason, INVALID]);
      expect(reported()).toMatchObject([
        { type: "refused", reason },
        { type: "refused", reason },
      ]);
    }
    const short = ofUser({ iss, exp: NOW + 60 });
    expect(await answer(short)).toBe("nobody");
    clock.advance(91);
    expect(await answer(short)).toBe(INVALID);
  });

  test("S3 rejects a service as every other route does, also the second time", async () => {
    const { answer, reported } = await optionalRoute({ allow: ["orders", "billing"], scope: "stock:read" });
    const refusals = [
      [{ aud: "billing" }, INVALID, { reason: "audience_mismatch", expected: '["inventory"]', seen: "billing" }],
      [{ aud: undefined }, INVALID, { reason: "audience_mismatch" }],
      [{ sub: "shipping" }, FORBIDDEN, { reason: "caller_not_allowed", seen: "shipping" }],
      [{ scope: "a" }, `${FORBIDDEN}, scope="stock:read"`, { reason: "insufficient_scope", seen: "a" }],
      [{ aud: "billing", sub: "shipping", scope: "" }, INVALID, { reason: "audience_mismatch" }],
    ] as const;
    for (const [claims, outcome, event] of refusals) {
      const token = ofOrders(claims);
      for (let i = 0; i < 3; i++) {
        expect(await answer(token)).toBe(outcome);
        expect(reported()).toMatchObject([{ type: "refused", jti: "id-1", kid: key.kid, ...event }]);
      }
    }
  });

  test("with reportOnly accepts services and reports what it would reject", async () => {
    const { answer, reported } = await optionalRoute({ reportOnly: true });
    expect(await answer(ofOrders({ aud: "billing" }))).toBe("orders");
    expect(reported()).toMatchObject([{ type: "would_refuse", reason: "audience_mismatch" }]);
    expect(await answer(ofUser({ aud: "billing" }))).toBe("nobody");
    expect(reported()).toEqual([]);
  });

  test("applies the rules of each of several issuers", async () => {
    const other = await serveIssuer(edKey("s-2"));
    const one = await serveIssuer(key);
    const trusted = [
      { issuer: "https://one.test", jwksUri: one.jwksUri, scope: "stock:read", reportOnly: false },
      { issuer: "https://two.test", jwksUri: other.jwksUri, allow: "billing" },
    ];
    const { answer, reported } = await optionalRoute({ jwksUri: trusted });
    const [a, b] = [{ iss: "https://one.test" }, { iss: "https://two.test" }];
    const second = other.keys[0]!;
    expect(await answer(ofOrders(a))).toBe("orders");
    expect(await answer(ofOrders({ ...a, scope: "" }))).toBe(`${FORBIDDEN}, scope="stock:read"`);
    expect(await answer(tokenBy(second, { ...b, aud: "inventory", sub: "billing" }))).toBe("billing");
    expect(await answer(tokenBy(second, { ...b, aud: "inventory" }))).toBe(FORBIDDEN);
    for (const iss of ["https://one.test", "https://two.test"]) {
      const by = iss === "https://one.test" ? key : second;
      expect(await answer(tokenBy(by, { iss, source: "user", aud: "elsewhere" }))).toBe("nobody");
    }
    expect(reported()).toMatchObject([{ reason: "insufficient_scope" }, { reason: "caller_not_allowed" }]);
  });

  test("prints rejections as refused with debug, and no token of a user", async () => {
    const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    try {
      const { answer } = await optionalRoute({}, true);
      expect(await answer(ofUser({ aud: "a" }))).toBe("nobody");
      expect(await answer(ofOrders({ aud: "billing" }))).toBe(INVALID);
      const lines = written.mock.calls.map(
        ([line]) => (JSON.parse(String(line)) as { countersign: VerifierEvent }).countersign,
      );
      expect(lines.filter(({ type }) => !type.endsWith("refreshed"))).toMatchObject([
        { type: "refused", reason: "audience_mismatch" },
      ]);
    } finally {
      written.mockRestore();
    }
  });
});

test("a route that is not optional responds to an end user's token with 401 for another audience, otherwise 403", async () => {
  const { answer, reported } = await optionalRoute({ optional: false });
  expect(await answer(ofUser({ aud: "billing" }))).toBe(INVALID);
  expect(await answer(ofUser({ aud: "inventory" }))).toBe(FORBIDDEN);
  expect(reported()).toMatchObject([{ reason: "audience_mismatch" }, { reason: "claim_mismatch" }]);
});
