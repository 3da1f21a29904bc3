import { expect, test } from "vitest";
import { explainToken, type Check } from "../../src/verify/explain.ts";
import { fakeClock } from "../support/clock.ts";
import { readerOf, serveIssuer } from "../support/issuer.ts";
import { edKey, ecKey, goodClaims, headerOf, NOW, forge, tokenBy } from "../support/keys.ts";

const key = edKey("s-1");
const failedOf = (checks: readonly Check[]) =>
  checks.filter(({ outcome }) => outcome === "failed").map(({ name, reason }) => [name, reason]);
const namesOf = (checks: readonly Check[], wanted: Check["outcome"]) =>
  checks.filter(({ outcome }) => outcome === wanted).map(({ name }) => name);

test("a valid token passes every check, each with the expected and the actual value", async () => {
  const issuer = await serveIssuer(key);
  issuer.revoke({});
  const options = { jwksUri: issuer.jwksUri, audience: "inventory", issuer: "https://core.test" };
  const explained = await explainToken(tokenBy(key, { aud: ["inventory"] }), options, fakeClock());
  expect(explained).toMatchObject({ allowed: true, token: { claims: { sub: "orders" } } });
  expect(namesOf(explained.checks, "passed")).toHaveLength(explained.checks.length);
  expect(explained.checks.find(({ name }) => name === "aud")).toMatchObject({
    expected: '["inventory"]',
    seen: '["inventory"]',
  });
  expect(explained.checks.find(({ name }) => name === "exp")).toMatchObject({ seen: String(NOW + 3600) });
});

test("every failed check is shown, not only the first", async () => {
  const issuer = await serveIssuer(key);
  issuer.revoke({ tokens: [["id-1", NOW]] });
  const token = tokenBy(edKey("s-1"), { exp: NOW - 60, aud: "payments", source: "user" });
  const { allowed, checks } = await explainToken(
    token,
    { jwksUri: issuer.jwksUri, audience: "inventory" },
    fakeClock(),
  );
  expect(allowed).toBe(false);
  expect(failedOf(checks)).toEqual([
    ["signature", "signature_invalid"],
    ["exp", "token_expired"],
    ["aud", "audience_mismatch"],
    ["required claims", "claim_mismatch"],
    ["revocation", "token_revoked"],
  ]);
});

test("without a key set it checks everything but signature and revocation", async () => {
  const { allowed, checks } = await explainToken(tokenBy(key), {}, fakeClock());
  expect(allowed).toBeUndefined();
  expect(namesOf(checks, "not checked")).toEqual(["key", "signature", "revocation"]);
  expect(await explainToken(tokenBy(key, { exp: 1 }), {}, fakeClock())).toMatchObject({ allowed: false });
});

test.each([
  [undefined, "form", "token_malformed"],
  ["a.b", "form", "token_malformed"],
  [`${tokenBy(key)}=`, "form", "token_malformed"],
  ["x".repeat(9_000), "form", "token_too_large"],
  [forge(key, { ...headerOf(key), alg: "none" }, goodClaims()), "algorithm", "algorithm_not_allowed"],
  [forge(key, { ...headerOf(key), crit: ["b64"] }, goodClaims()), "header", "header_not_allowed"],
  [forge(key, { ...headerOf(key), typ: "logout+jwt" }, goodClaims()), "typ", "typ_not_allowed"],
])("what cannot be read stops there: %j", async (token, name, reason) => {
  const { allowed, checks, token: parts } = await explainToken(token, {}, fakeClock());
  expect([allowed, parts, failedOf(checks)]).toEqual([false, undefined, [[name, reason]]]);
  expect(namesOf(checks, "not checked")).toContain("signature");
});

test.each<[string, string, object]>([
  ["another key of the set, for another algorithm", tokenBy({ ...edKey(), kid: "s-ec" }), {}],
  ["an unknown kid", tokenBy(edKey("s-9")), {}],
  ["an algorithm that is not wanted", tokenBy(key), { algorithms: ["RS256"] }],
  ["another issuer of several", tokenBy(key, { iss: "https://other.test" }), { issuers: true }],
  ["a lifetime that is too long", tokenBy(key), { maxTokenLifetime: 60 }],
  ["a claim of the wrong type", tokenBy(key, { exp: "1" }), {}],
  ["a claim that comes later", tokenBy(key, { nbf: NOW + 99 }), {}],
  ["nothing", tokenBy(key), {}],
])("agrees with a verifier on a token with %s", async (_name, token, { issuers, ...more }: { issuers?: boolean }) => {
  const issuer = await serveIssuer(key, ecKey("s-ec"));
  issuer.revoke({});
  const { jwksUri } = issuer;
  const options = { jwksUri: issuers === true ? [{ issuer: "https://core.test", jwksUri }] : jwksUri, ...more };
  const { allowed, checks } = await explainToken(token, options, fakeClock());
  const outcome = await readerOf(issuer, options).outcome(token);
  expect(failedOf(checks)[0]?.[1] ?? "allowed").toBe(outcome);
  expect(allowed).toBe(outcome === "allowed");
});
