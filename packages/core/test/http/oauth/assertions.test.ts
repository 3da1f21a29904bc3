// Clients that authenticate with their own key (private_key_jwt, RFC 7523).
import { createHmac, generateKeyPairSync, randomUUID, type KeyObject } from "node:crypto";
import { exportJWK, SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fakeClock } from "../../support/clock.ts";
import { ADMIN_KEY, API_KEY, partsOf, startTestCore, type Answer } from "../../support/core.ts";
import { byAssertion, expectInvalidClient, startOAuthCore, type OAuthCore } from "../../support/oauth.ts";
import { callServices } from "../../support/services.ts";

const clock = fakeClock();
const keys = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  RS256: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  EdDSA: generateKeyPairSync("ed25519"),
} as const;
const foreign = generateKeyPairSync("ec", { namedCurve: "P-256" });

let core: OAuthCore;
beforeAll(async () => {
  core = await startOAuthCore({ maxRingAge: 1e15 }, { clock });
  const jwks = { keys: [] as object[] };
  for (const [kid, { publicKey }] of Object.entries(keys)) jwks.keys.push({ ...(await exportJWK(publicKey)), kid });
  expect((await setKeys("orders", jwks)).status).toBe(200);
});
beforeEach(() => clock.advance(60_000)); // This address has no recent guesses.

function setKeys(service: string, jwks: object, app = "public"): Promise<Answer> {
  const path = `/admin/v1/apps/${app}/services/${service}/keys`;
  return core.call(path, { method: "PUT", apiKey: ADMIN_KEY, body: { jwks } });
}

interface Made {
  readonly alg?: string;
  readonly kid?: string | undefined;
  readonly typ?: string;
  readonly key?: KeyObject;
}

const now = () => Math.floor(clock.now() / 1000);

/** Returns a valid assertion with the given changes; `undefined` omits a claim. */
async function assertion(claims: Record<string, unknown> = {}, made: Made = {}): Promise<string> {
  const { alg = "ES256", key = keys[alg as keyof typeof keys].privateKey, typ } = made;
  const kid = "kid" in made ? made.kid : alg;
  const good = { iss: "orders", sub: "orders", aud: core.url, iat: now(), exp: now() + 60, jti: randomUUID() };
  return new SignJWT({ ...good, ...claims } as JWTPayload)
    .setProtectedHeader({ alg, ...(kid !== undefined && { kid }), ...(typ !== undefined && { typ }) })
    .sign(key);
}

const ask: OAuthCore["postAssertion"] = (...sent) => core.postAssertion(...sent);

describe("an assertion signed by a service's own key", () => {
  it.each(["ES256", "RS256", "EdDSA"])("gets a token: %s", async (alg) => {
    for (const client_id of [undefined, "orders"]) {
      const answer = await ask(await assertion({}, { alg, typ: "JWT" }), { client_id });
      expect(partsOf(answer.json["access_token"] as string).claims).toMatchObject({ sub: "orders", aud: "inventory" });
    }
  });

  it("can have a list with only the issuer as aud, and be valid for five minutes", async () => {
    expect((await ask(await assertion({ aud: [core.url], exp: now() + 300 }))).status).toBe(200);
  });

  it("needs no iat, and half a minute of clock skew is tolerated", async () => {
    expect((await ask(await assertion({ iat: undefined }))).status).toBe(200);
    expect((await ask(await assertion({ iat: now() + 30, nbf: now() + 30 }))).status).toBe(200);
    expect((await ask(await assertion({ exp: now() - 29 }))).status).toBe(200);
  });

  it("is accepted with a new key immediately, and no longer with the replaced one", async () => {
    const [before, after] = [foreign, generateKeyPairSync("ec", { namedCurve: "P-256" })];
    const use = async (key: KeyObject, kid: string) =>
      (await ask(await assertion({ iss: "billing", sub: "billing" }, { key, kid }))).status;
    const jwk = async (key: KeyObject, kid: string) => ({ ...(await exportJWK(key)), kid });
    await setKeys("billing", { keys: [await jwk(before.publicKey, "1"), await jwk(after.publicKey, "2")] });
    expect([await use(before.privateKey, "1"), await use(after.privateKey, "2")]).toEqual([200, 200]);
    await setKeys("billing", { keys: [await jwk(after.publicKey, "2")] });
    expect([await use(before.privateKey, "1"), await use(after.privateKey, "2")]).toEqual([401, 200]);
    await setKeys("billing", { keys: [] });
    expect(await use(after.privateKey, "2")).toBe(401);
  });
});

describe("S4 an assertion", () => {
  const other = "https://other.example";
  const wrong: [string, () => Record<string, unknown>, Made?][] = [
    ["for another audience", () => ({ aud: other })],
    ["for the token endpoint's URL", () => ({ aud: `${core.url}/oauth/token` })],
    ["for the issuer with a slash", () => ({ aud: `${core.url}/` })],
    ["for the issuer in capitals", () => ({ aud: core.url.toUpperCase() })],
    ["for the issuer and another one", () => ({ aud: [core.url, other] })],
    ["for the issuer twice", () => ({ aud: [core.url, core.url] })],
    ["for another app of this core", () => ({ aud: `${core.url}/appid-a1` })],
    ["without an audience", () => ({ aud: [] })],
    ["without aud", () => ({ aud: undefined })],
    ["without sub", () => ({ sub: undefined })],
    ["about another service", () => ({ sub: "billing" })],
    ["of another service", () => ({ iss: "billing" })],
    ["of another service about itself", () => ({ iss: "billing", sub: "billing" })],
    ["without iss", () => ({ iss: undefined })],
    ["of an unknown service", () => ({ iss: "ghost", sub: "ghost" })],
    ["of an unsafe property name", () => ({ iss: "__proto__", sub: "__proto__" })],
    ["without exp", () => ({ exp: undefined })],
    ["expired five minutes ago", () => ({ iat: now() - 360, exp: now() - 300 })],
    ["expired half a minute ago", () => ({ exp: now() - 30 })],
    ["valid for more than five minutes", () => ({ exp: now() + 331 })],
    ["valid for a hundred years", () => ({ exp: now() + 3_153_600_000 })],
    ["with exp as a string", () => ({ exp: String(now() + 60) })],
    ["issued in the future", () => ({ iat: now() + 31 })],
    ["not yet valid", () => ({ nbf: now() + 31 })],
    ["without jti", () => ({ jti: undefined })],
    ["with an empty jti", () => ({ jti: "" })],
    ["with a jti that is a number", () => ({ jti: 1 })],
    ["signed by a foreign key under a known kid", () => ({}), { key: foreign.privateKey }],
    ["signed by a key that is not registered", () => ({}), { key: foreign.privateKey, kid: "other" }],
    ["by another kid of the same service", () => ({}), { kid: "RS256" }],
    ["without kid", () => ({}), { kid: undefined }],
    ["with the type of an access token (T23)", () => ({}), { typ: "at+jwt" }],
    ["with the type of a logout token (T23)", () => ({}), { typ: "logout+jwt" }],
  ];
  it.each(wrong)("is rejected: %s", async (_, claims, made) => {
    expectInvalidClient(await ask(await assertion(claims(), made)));
  });

  it("is rejected the second time, also by another instance, and if many are sent at the same time", async () => {
    const one = await assertion();
    expect((await ask(one)).status).toBe(200);
    expectInvalidClient(await ask(one));
    const second = await startSameStore();
    const two = await assertion();
    const answers = await Promise.all(
      [core.url, second, core.url, second].map((url) =>
        fetch(`${url}/oauth/token`, {
          method: "POST",
          body: new URLSearchParams({
            grant_type: "client_credentials",
            audience: "inventory",
            ...byAssertion(two),
          }),
        }).then(({ status }) => status),
      ),
    );
    expect(answers.sort((a, b) => a - b)).toEqual([200, 401, 401, 401]);
    // The same jti in another assertion counts as a second use.
    const jti = randomUUID();
    expect((await ask(await assertion({ jti }))).status).toBe(200);
    expectInvalidClient(await ask(await assertion({ jti, exp: now() + 120 })));
  });

  it("is remembered until it expires", async () => {
    const one = await assertion({ exp: now() + 300 });
    expect((await ask(one)).status).toBe(200);
    for (const seconds of [299, 30, 1]) {
      clock.advance(seconds * 1000);
      expectInvalidClient(await ask(one));
    }
  });

  it("is rejected without a signature, or with one that uses a public key as a secret (T1, T3)", async () => {
    const good = await assertion();
    const claims = partsOf(good).claims;
    const pem = keys.ES256.publicKey.export({ type: "spki", format: "pem" });
    const header = Buffer.from('{"alg":"HS256","kid":"ES256"}').toString("base64url");
    const input = `${header}.${good.split(".")[1]}`;
    const forged = [
      new UnsecuredJWT(claims as JWTPayload).encode(),
      `${Buffer.from('{"alg":"none","kid":"ES256"}').toString("base64url")}.${good.split(".")[1]}.`,
      `${good.slice(0, good.lastIndexOf("."))}.`,
      `${input}.${createHmac("sha256", pem).update(input).digest("base64url")}`,
      `${good}.x`,
      "x",
      good.slice(0, -2),
    ];
    for (const one of forged) expectInvalidClient(await ask(one));
  });

  it("is rejected with another client_id, or with a second authentication method", async () => {
    expectInvalidClient(await ask(await assertion(), { client_id: "billing" }));
    const both = await ask(await assertion(), { client_id: "orders", client_secret: core.credentials["orders"] });
    expect([both.status, both.json["error"]]).toEqual([400, "invalid_request"]);
    for (const client_assertion_type of [undefined, "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"]) {
      const answer = await ask(await assertion(), { client_assertion_type });
      expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_request"]);
    }
  });

  it("T23 cannot be a token that this core issued, to this service or to another", async () => {
    expectInvalidClient(await ask(await core.accessToken()));
    const payload = { sub: "orders", iss: "orders", aud: core.url };
    expectInvalidClient(await ask(await core.mint({ payload }, { apiKey: API_KEY })));
  });

  it("S2 is accepted only in the app where its key is registered", async () => {
    await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a1" } });
    await callServices(core, "", { name: "orders" }, "a1");
    const aud = `${core.url}/appid-a1`;
    expectInvalidClient(await ask(await assertion({ aud }), {}, "/appid-a1/oauth/token"));
    expectInvalidClient(await ask(await assertion(), {}, "/appid-a1/oauth/token"));
    await setKeys("orders", { keys: [{ ...(await exportJWK(foreign.publicKey)), kid: "f" }] }, "a1");
    const own = await assertion({ aud }, { key: foreign.privateKey, kid: "f" });
    expect((await ask(own, { audience: undefined }, "/appid-a1/oauth/token")).status).toBe(200);
  });

  it("is rejected while the service is disabled", async () => {
    await callServices(core, "/orders/disable", {});
    expectInvalidClient(await ask(await assertion()));
    await callServices(core, "/orders/enable", {});
    expect((await ask(await assertion())).status).toBe(200);
  });

  async function startSameStore(): Promise<string> {
    const same = { dataDir: core.dataDir, maxRingAge: 1e15, publicUrl: core.url };
    return (await startTestCore(same, { clock })).url;
  }
});

describe("the keys of a service", () => {
  it("are listed, and replaced atomically", async () => {
    const list = async () => (await callServices(core, "/orders/keys")).json["keys"];
    expect(await list()).toEqual([
      { kid: "ES256", algorithm: "ES256", createdAt: expect.stringMatching(/Z$/) },
      { kid: "EdDSA", algorithm: "Ed25519", createdAt: expect.stringMatching(/Z$/) },
      { kid: "RS256", algorithm: "RS256", createdAt: expect.stringMatching(/Z$/) },
    ]);
  });

  it("are rejected if one is weak or invalid, and the old ones remain", async () => {
    const good = { ...(await exportJWK(foreign.publicKey)), kid: "good" };
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
    for (const [members, problem] of [
      [[good, { ...(await exportJWK(foreign.privateKey)), kid: "p" }], "private or symmetric"],
      [[good, { ...good, kid: undefined }], "kid"],
      [[good, { kty: "oct", k: "AAAA", kid: "o" }], "private or symmetric"],
      [[good, { ...(await exportJWK(weak.publicKey)), kid: "w" }], "2048"],
      [[good, { ...good, x: "AA" }], "32 bytes"],
      [Array.from({ length: 11 }, (_, i) => ({ ...good, kid: String(i) })), "at most 10"],
      ["none", "no array"],
    ] as const) {
      const answer = await setKeys("orders", { keys: members });
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(problem)]);
    }
    expect((await ask(await assertion())).status).toBe(200);
    expect((await setKeys("ghost", { keys: [good] })).status).toBe(404);
    expect((await callServices(core, "/ghost/keys")).status).toBe(404);
  });
});
