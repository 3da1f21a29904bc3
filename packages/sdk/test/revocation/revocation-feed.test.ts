import { describe, expect, test } from "vitest";
import { ecKey, edKey, forge, goodClaims, headerOf, NOW, tokenBy } from "../support/keys.ts";
import { readerOf, serveIssuer, type FeedContent } from "../support/issuer.ts";

const key = edKey("s-1");
const other = edKey("s-2");
const token = tokenBy(key);
const REFRESHED = "revocations_refreshed";
const FAILED = "revocations_refresh_failed";

describe("revoked tokens", () => {
  test.each<[string, FeedContent, object, string]>([
    ["its jti", { tokens: [["id-1", NOW + 3600]] }, {}, "token_revoked"],
    ["another jti", { tokens: [["id-2", NOW + 3600]] }, {}, "allowed"],
    ["a jti with the name of a property of every object", { tokens: [["toString", NOW]] }, {}, "allowed"],
    ["its service, in the second of its issue", { services: [["orders", NOW]] }, {}, "token_revoked"],
    ["its service, before its issue", { services: [["orders", NOW - 1]] }, {}, "allowed"],
    ["its service, and the token has no iat", { services: [["orders", 1]] }, { iat: undefined }, "token_revoked"],
    ["another service", { services: [["payments", NOW]] }, {}, "allowed"],
    [
      "its service, which it names as `service`",
      { services: [["orders", NOW]] },
      { sub: undefined, service: "orders" },
      "token_revoked",
    ],
    ["one of its two service names", { services: [["b", NOW]] }, { sub: "a", service: "b" }, "token_revoked"],
    ["its kid, though the set still has it", { kids: ["s-1"] }, {}, "token_revoked"],
  ])("R17 a feed that lists %s", async (_name, content, claims, outcome) => {
    const issuer = await serveIssuer(key, other);
    issuer.revoke(content, other);
    const reader = readerOf(issuer);
    expect(await reader.outcome(tokenBy(key, claims))).toBe(outcome);
    if (outcome !== "allowed") expect(reader.events.at(-1)).toMatchObject({ type: "refused", reason: "token_revoked" });
  });

  test("R17 a token is rejected within 75 s of the command, by polling alone, also if the token is cached", async () => {
    const issuer = await serveIssuer(key, other);
    issuer.revoke({});
    const reader = readerOf(issuer);
    expect(await reader.outcome(token)).toBe("allowed");
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] }); // immediately afterwards
    reader.clock.advance(23); // no poll yet: 30 s less 20 %
    expect(await reader.outcome(token)).toBe("allowed");
    await reader.later(13, token, REFRESHED); // 30 s and 20 %; instances and caches add 31 s at most
    expect(await reader.outcome(token)).toBe("token_revoked");
    expect(await reader.outcome(token)).toBe("token_revoked");
  });

  test("T13 C9 a revoked token's (r, n - s) twin is revoked too, and neither comes back from the cache", async () => {
    const ec = ecKey("s-ec");
    const issuer = await serveIssuer(key, ec);
    issuer.revoke({});
    const reader = readerOf(issuer);
    const original = tokenBy(ec);
    const [head, payload, signature] = original.split(".");
    const bytes = Buffer.from(signature!, "base64url");
    const order = BigInt("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    const s = (order - BigInt(`0x${bytes.toString("hex", 32)}`)).toString(16).padStart(64, "0");
    const twin = `${head}.${payload}.${Buffer.concat([bytes.subarray(0, 32), Buffer.from(s, "hex")]).toString("base64url")}`;
    for (const one of [original, twin, original, twin]) expect(await reader.outcome(one)).toBe("allowed");
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] });
    await reader.later(37, original, REFRESHED);
    for (const one of [original, twin, original, twin]) expect(await reader.outcome(one)).toBe("token_revoked");
  });

  test("R17 no request is made per token, and an unchanged feed is not sent again", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({});
    const reader = readerOf(issuer);
    for (let i = 0; i < 100; i++) expect(await reader.outcome(tokenBy(key, { jti: `id-${i}` }))).toBe("allowed");
    expect(issuer.count("/revocations")).toBe(1);
    await reader.later(37, token, REFRESHED);
    expect(issuer.requests.at(-1)!.headers["if-none-match"]).toBeDefined();
    expect(reader.verifier.health().issuers[0]!.revocations).toMatchObject({ exists: true, lastError: undefined });
  });

  test("R17 the first hundred verifications wait for one fetch of the feed", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({ tokens: [["id-1", NOW]] });
    const reader = readerOf(issuer);
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => reader.outcome(token)));
    expect(new Set(outcomes)).toEqual(new Set(["token_revoked"]));
    expect([issuer.count("/revocations"), issuer.count("/jwks-all.json")]).toEqual([1, 1]);
  });
});

describe("a feed that cannot be fetched or verified", () => {
  test.each<[string, (issuer: Awaited<ReturnType<typeof serveIssuer>>) => void, RegExp]>([
    ["a failing server", (issuer) => (issuer.status = 503), /status 503/],
    ["a removed feed", (issuer) => (issuer.feed = undefined), /status 404/],
    ["text that is not a JWS", (issuer) => (issuer.feed = "nothing"), /rejected: token_malformed/],
    ["a rolled back feed", (issuer) => issuer.revoke({ epoch: 0 }), /rolled back from 1\.\d+ to 1\.0/],
    [
      "a feed of an older generation",
      (issuer) => issuer.revoke({ generation: 0, epoch: 99 }),
      /rolled back from 1\.\d+ to 0\.99/,
    ],
    ["a feed signed by another key", (issuer) => issuer.revoke({}, edKey("s-1")), /signature_invalid/],
    ["a feed with an unknown kid", (issuer) => issuer.revoke({}, edKey("s-9")), /key s-9 is unknown/],
    [
      "a feed signed by a key that it revokes",
      (issuer) => issuer.revoke({ kids: ["s-1"] }),
      /signed with a revoked key/,
    ],
    ["an access token", (issuer) => issuer.revoke({}, key, { typ: "JWT" }), /typ_not_allowed/],
    ["no typ", (issuer) => issuer.revoke({}, key, { typ: undefined }), /typ_not_allowed/],
    ["tokens that are not pairs", (issuer) => issuer.revoke({ tokens: ["id-1"] }), /claims_malformed/],
    ["services that are an object", (issuer) => issuer.revoke({ services: { orders: 1 } }), /claims_malformed/],
    ["kids that are numbers", (issuer) => issuer.revoke({ kids: [1] }), /claims_malformed/],
    ["no epoch", (issuer) => issuer.revoke({ epoch: undefined }), /claims_malformed/],
  ])("R17 %s changes nothing, and is reported", async (_name, spoil, problem) => {
    const issuer = await serveIssuer(key);
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] });
    const reader = readerOf(issuer);
    expect(await reader.outcome(token)).toBe("token_revoked");
    spoil(issuer);
    await reader.later(37, tokenBy(key, { jti: "id-2" }), FAILED);
    expect(reader.events.findLast((event) => event.type === FAILED)).toMatchObject({
      source: `${issuer.url}/revocations`,
      problem: expect.stringMatching(problem) as string,
    });
    expect(reader.verifier.health().issuers[0]!.revocations).toMatchObject({
      exists: true,
      lastError: expect.stringMatching(problem) as string,
    });
    expect(await reader.outcome(token)).toBe("token_revoked");
    expect(await reader.outcome(tokenBy(key, { jti: "id-2" }))).toBe("allowed");
  });

  test("R17 V5 after a long freeze no token is accepted by an outdated feed, cached or not", async () => {
    const issuer = await serveIssuer(key, other);
    issuer.revoke({});
    const reader = readerOf(issuer);
    const gone = tokenBy(other, { jti: "id-2" });
    for (const one of [token, gone, token, gone]) expect(await reader.outcome(one)).toBe("allowed");
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] });
    issuer.keys = [key];
    reader.clock.advance(600);
    expect([await reader.outcome(gone), await reader.outcome(token)]).toEqual(["key_unknown", "token_revoked"]);
  });

  test("R17 a revoked key cannot undo its revocation, even with a newer feed that does not list it", async () => {
    const issuer = await serveIssuer(key, other);
    issuer.revoke({ kids: ["s-1"] }, other);
    const reader = readerOf(issuer);
    expect(await reader.outcome(token)).toBe("token_revoked");
    issuer.revoke({ generation: Number.MAX_SAFE_INTEGER });
    await reader.later(37, token, FAILED);
    expect(await reader.outcome(token)).toBe("token_revoked");
    issuer.revoke({ kids: ["s-1"] }, other);
    await reader.later(37, token, REFRESHED);
  });

  test("R17 revocation is checked before required claims, so that no optional route accepts a revoked token", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] });
    expect(await readerOf(issuer).outcome(tokenBy(key, { source: "user" }))).toBe("token_revoked");
  });

  test("R17 a restored core's feed, with a higher generation, is accepted although its epoch is lower", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({ tokens: [["id-1", NOW + 3600]], epoch: 900 });
    const reader = readerOf(issuer);
    expect(await reader.outcome(token)).toBe("token_revoked");
    issuer.revoke({ generation: 2, epoch: 1 });
    await reader.later(37, tokenBy(key, { jti: "id-2" }), REFRESHED);
    expect(await reader.outcome(token)).toBe("allowed");
  });

  test("an issuer without a feed is polled as often as others, and is not an error", async () => {
    const issuer = await serveIssuer(key);
    const reader = readerOf(issuer);
    expect(await reader.outcome(token)).toBe("allowed");
    reader.clock.advance(23);
    expect(await reader.outcome(token)).toBe("allowed");
    expect(issuer.count("/revocations")).toBe(1);
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] });
    await reader.later(13, token, REFRESHED);
    expect(await reader.outcome(token)).toBe("token_revoked");
    expect(reader.events.filter((event) => event.type === FAILED)).toEqual([]);
  });

  test("T23 a feed is not accepted as a token, nor a token as a feed", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({ exp: NOW + 60, source: "microservice" } as FeedContent);
    const reader = readerOf(issuer);
    expect(await reader.outcome(issuer.feed!)).toBe("typ_not_allowed");
    issuer.feed = forge(
      key,
      headerOf(key),
      goodClaims({ generation: 9, epoch: 9, tokens: [], services: [], kids: [] }),
    );
    await reader.later(37, token, FAILED);
  });

  test("a feed of 10,000 tokens is accepted, one above 1 MiB is not", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({ tokens: Array.from({ length: 10_000 }, (_, i) => [`id-${i}-${"x".repeat(30)}`, NOW + 3600]) });
    const reader = readerOf(issuer);
    expect(await reader.outcome(tokenBy(key, { jti: `id-9999-${"x".repeat(30)}` }))).toBe("token_revoked");
    issuer.revoke({ tokens: Array.from({ length: 30_000 }, (_, i) => [`id-${i}-${"x".repeat(30)}`, NOW + 3600]) });
    await reader.later(37, token, FAILED);
    expect(reader.events.at(-1)).toMatchObject({
      problem: expect.stringMatching(/larger than 1048576 bytes/) as string,
    });
  });
});

describe("the URL of the feed", () => {
  test.each([
    ["/jwt/jwks.json", "/jwt/revocations"],
    ["/.well-known/jwks-all.json?x=1", "/.well-known/revocations?x=1"],
    ["/keys.json", undefined],
  ])("next to %s: %s", async (path, expected) => {
    const issuer = await serveIssuer(key);
    const reader = readerOf(issuer, { jwksUri: issuer.url + path });
    await reader.outcome(token);
    const asked = issuer.requests.map((request) => request.url!).filter((url) => url.includes("revocations"));
    expect(asked).toEqual(expected === undefined ? [] : [expected]);
  });

  test("is revocationsUri, or null for none", async () => {
    const issuer = await serveIssuer(key);
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] });
    const elsewhere = readerOf(issuer, {
      jwksUri: `${issuer.url}/keys.json`,
      revocationsUri: `${issuer.url}/revocations`,
    });
    expect(await elsewhere.outcome(token)).toBe("token_revoked");
    expect(await readerOf(issuer, { revocationsUri: null }).outcome(token)).toBe("allowed");
  });

  test("K2 each issuer has its own feed: a jti that one revoked is valid at another", async () => {
    const [one, two] = [await serveIssuer(key), await serveIssuer(key)];
    one.revoke({ tokens: [["id-1", NOW + 3600]] });
    two.revoke({});
    const issuers = [one, two].map(({ jwksUri }, i) => ({ issuer: `https://${i}.test`, jwksUri }));
    const reader = readerOf(one, { jwksUri: issuers });
    expect(await reader.outcome(tokenBy(key, { iss: "https://0.test" }))).toBe("token_revoked");
    expect(await reader.outcome(tokenBy(key, { iss: "https://1.test" }))).toBe("allowed");
  });
});
