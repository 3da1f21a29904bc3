// The admin API over a real socket: managing keys, and rejected requests.
import { createLocalJWKSet, jwtVerify } from "jose";
import { generateKeyPairSync } from "node:crypto";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { decodeJwt, type PublishedJwk } from "countersign/protocol";
import type { KeyView } from "../../../src/use-cases/keys/manage-keys.ts";
import { fakeClock, NEW_YEAR, type FakeClock } from "../../support/clock.ts";
import { ADMIN_KEY, API_KEY, partsOf, startTestCore, type Answer, type TestCore } from "../../support/core.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

let core: TestCore;
let clock: FakeClock;

function admin(path: string, body?: unknown, method = body === undefined ? "GET" : "POST"): Promise<Answer> {
  return core.call(`/admin/v1${path}`, {
    method,
    apiKey: null,
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
    body,
  });
}
const keysOf = async (app = "public") => (await admin(`/apps/${app}/keys`)).json["keys"] as KeyView[];
const active = async (kind: string, algorithm = "RS256", app = "public") =>
  (await keysOf(app)).find((key) => key.kind === kind && key.algorithm === algorithm && key.state === "active")!;
const published = async (name = "jwks-all.json", app = "public") =>
  (await core.call(`/appid-${app}/.well-known/${name}`, { apiKey: null })).json["keys"] as PublishedJwk[];
const verifies = async (jwt: string, app = "public") => {
  const keySet = createLocalJWKSet({ keys: [...(await published("jwks-all.json", app))] as never });
  return jwtVerify(jwt, keySet, { currentDate: new Date(clock.now()) }).then(
    () => true,
    () => false,
  );
};
function expectRefused(answer: Answer, status: number, code: string, words: RegExp): void {
  expect([answer.status, answer.json]).toEqual([status, { error: { code, message: expect.stringMatching(words) } }]);
}
/** Creates an app for one test. */
async function newApp(appId: string): Promise<string> {
  await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId } });
  return appId;
}
const mintIn = (app: string, fields = {}) => core.mint(fields, { path: `/appid-${app}/recipe/jwt` });

beforeAll(async () => {
  clock = fakeClock();
  core = await startTestCore({ maxRingAge: 1e15, rotation: { algorithms: ["RS256"] } }, { clock });
});

describe("rotating a static key manually", () => {
  it("publishes the new key for the lead time before it signs; the old one remains valid for verification", async () => {
    const app = await newApp("rotate-static");
    const old = await active("static", "RS256", app);
    const before = await mintIn(app);
    const answer = await admin(`/apps/${app}/keys/rotate`, {});
    expect(answer.status).toBe(200);
    const prepared = (answer.json["keys"] as KeyView[]).find(
      (key) => key.kind === "static" && key.state === "prepared",
    )!;
    expect(Date.parse(prepared.signsFrom) - clock.now()).toBe(10 * MINUTE);
    expect((await published("jwks.json", app)).map((key) => key.kid)).toContain(prepared.kid);
    expect(partsOf(await mintIn(app)).header["kid"]).toBe(old.kid);
    clock.advance(10 * MINUTE);
    const after = await mintIn(app);
    expect(partsOf(after).header["kid"]).toBe(prepared.kid);
    expect((await published("jwks.json", app))[0]!.kid).toBe(prepared.kid); // The active signing key comes first.
    expect([await verifies(before, app), await verifies(after, app)]).toEqual([true, true]);
    expect((await keysOf(app)).find((key) => key.kid === old.kid)).toMatchObject({
      state: "retired",
      verifiesUntil: null,
    });
  });

  it("expires the old key at a requested date, and clamps the tokens it signs to that date", async () => {
    const app = await newApp("keep-until");
    const keepUntil = new Date(clock.now() + DAY).toISOString();
    expectRefused(
      await admin(`/apps/${app}/keys/rotate`, { keepUntil: new Date(clock.now() + MINUTE).toISOString() }),
      400,
      "invalid",
      /signs until/,
    );
    expect((await admin(`/apps/${app}/keys/rotate`, { keepUntil })).status).toBe(200);
    const jwt = await mintIn(app, { validity: 10 * 86_400 });
    expect(partsOf(jwt).claims["exp"]).toBe(Date.parse(keepUntil) / 1000);
    clock.advance(DAY);
    expect(await verifies(jwt, app)).toBe(false);
  });

  it("waits for the rotation that is under way", async () => {
    const app = await newApp("twice");
    await admin(`/apps/${app}/keys/rotate`, {});
    expectRefused(await admin(`/apps/${app}/keys/rotate`, {}), 409, "conflict", /in progress/);
  });

  it("rejects invalid requests", async () => {
    expectRefused(await admin("/apps/public/keys/rotate", { kind: "other" }), 400, "invalid", /kind/);
    expectRefused(await admin("/apps/public/keys/rotate", { algorithm: "HS256" }), 400, "invalid", /algorithm/);
    expectRefused(
      await admin("/apps/public/keys/rotate", { algorithm: "ES256" }),
      404,
      "not_found",
      /does not sign with ES256/,
    );
    expectRefused(await admin("/apps/public/keys/rotate", { keepUntil: "soon" }), 400, "invalid", /keepUntil/);
    expectRefused(
      await admin("/apps/public/keys/rotate", { "<script>": 1 }),
      400,
      "invalid",
      /^body: an unknown field$/,
    );
    expectRefused(await admin("/apps/public/keys/rotate", "nonsense"), 400, "invalid", /Json/);
    expectRefused(await admin("/apps/ghost/keys"), 404, "not_found", /app/);
    expectRefused(await admin("/nothing"), 404, "not_found", /resource/);
  });
});

it("rotating a dynamic key moves its successor's activation time earlier, never before its lead time", async () => {
  const app = await newApp("rotate-dynamic");
  await vi.waitFor(async () => expect((await keysOf(app)).filter((key) => key.kind === "dynamic")).toHaveLength(2), {
    timeout: 5_000,
  });
  const old = await active("dynamic", "RS256", app);
  const answer = await admin(`/apps/${app}/keys/rotate`, { kind: "dynamic" });
  const prepared = (answer.json["keys"] as KeyView[]).find(
    (key) => key.kind === "dynamic" && key.state === "prepared",
  )!;
  expect(Date.parse(prepared.signsFrom) - Date.parse(prepared.createdAt)).toBe(10 * MINUTE);
  clock.advance(10 * MINUTE);
  expect(partsOf(await mintIn(app, { useStaticSigningKey: false })).header["kid"]).toBe(prepared.kid);
  expect((await keysOf(app)).find((key) => key.kid === old.kid)).toMatchObject({
    state: "retired",
    verifiesUntil: old.verifiesUntil,
  });
});

describe("revoking a key", () => {
  it("removes a static signer from both sets immediately; a new key signs, and the feed lists the old one", async () => {
    const app = await newApp("revoke-static");
    const jwt = await mintIn(app);
    const { kid } = await active("static", "RS256", app);
    const answer = await admin(`/apps/${app}/keys/${kid}/revoke`, {}, "POST");
    expect(answer.json["key"]).toMatchObject({ kid, state: "revoked", unexpiredHere: 1 });
    for (const name of ["jwks.json", "jwks-all.json"]) {
      expect((await published(name, app)).map((key) => key.kid)).not.toContain(kid);
    }
    const next = await mintIn(app);
    expect(partsOf(next).header["kid"]).not.toBe(kid);
    expect([await verifies(jwt, app), await verifies(next, app)]).toEqual([false, true]);
    expect((await admin(`/apps/${app}/revocations`)).json["kids"]).toEqual([kid]);
  });

  it("lets the prepared key sign if the dynamic signer is revoked", async () => {
    const app = await newApp("revoke-dynamic");
    await vi.waitFor(async () => expect((await keysOf(app)).filter((key) => key.kind === "dynamic")).toHaveLength(2), {
      timeout: 5_000,
    });
    const prepared = (await keysOf(app)).find((key) => key.state === "prepared")!;
    await admin(`/apps/${app}/keys/${(await active("dynamic", "RS256", app)).kid}/revoke`, {}, "POST");
    expect(partsOf(await mintIn(app, { useStaticSigningKey: false })).header["kid"]).toBe(prepared.kid);
  });

  it("rejects a key of another app, an unknown key, and a second revocation (S2)", async () => {
    const app = await newApp("revoke-unknown");
    const { kid } = await active("static", "RS256", app);
    expectRefused(await admin(`/apps/public/keys/${kid}/revoke`, {}, "POST"), 404, "not_found", /key not found/);
    expectRefused(await admin(`/apps/${app}/keys/s-nothing/revoke`, {}, "POST"), 404, "not_found", /key not found/);
    await admin(`/apps/${app}/keys/${kid}/revoke`, {}, "POST");
    expectRefused(await admin(`/apps/${app}/keys/${kid}/revoke`, {}, "POST"), 404, "not_found", /key not found/);
  });
});

describe("importing a key of an existing core", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = rsa.privateKey.export({ format: "pem", type: "pkcs8" }) as string;

  it("keeps its tokens valid, from PEM and from a JWK, without signing with it", async () => {
    const app = await newApp("import");
    const signer = await active("static", "RS256", app);
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
    expect((await admin(`/apps/${app}/keys/import`, { kid: "s-of-the-old-core", key: pem })).json["key"]).toMatchObject(
      {
        kid: "s-of-the-old-core",
        algorithm: "RS256",
        state: "retired",
      },
    );
    expect(
      (
        await admin(`/apps/${app}/keys/import`, {
          kid: "d-1700000000000",
          key: ec,
          verifiesUntil: new Date(clock.now() + DAY).toISOString(),
        })
      ).status,
    ).toBe(200);
    const { SignJWT } = await import("jose");
    const old = await new SignJWT({ source: "microservice" })
      .setProtectedHeader({ alg: "RS256", kid: "s-of-the-old-core" })
      .setExpirationTime(4_000_000_000)
      .sign(rsa.privateKey);
    expect(await verifies(old, app)).toBe(true);
    expect(partsOf(await mintIn(app)).header["kid"]).toBe(signer.kid);
    expect((await published("jwks.json", app)).map((key) => key.kid)).not.toContain("d-1700000000000");
    clock.advance(DAY);
    expect((await published("jwks-all.json", app)).map((key) => key.kid)).not.toContain("d-1700000000000");
  });

  it("signs with it after the lead time if requested", async () => {
    const app = await newApp("import-sign");
    const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "pem", type: "pkcs1" });
    expect((await admin(`/apps/${app}/keys/import`, { kid: "s-chosen", key, signs: true })).json["key"]).toMatchObject({
      state: "prepared",
    });
    clock.advance(10 * MINUTE);
    expect(partsOf(await mintIn(app)).header["kid"]).toBe("s-chosen");
  });

  const jwk = (key: { privateKey: { export(options: { format: "jwk" }): object } }) =>
    key.privateKey.export({ format: "jwk" });
  it.each([
    ["weak: 1024 bits", () => ({ key: jwk(generateKeyPairSync("rsa", { modulusLength: 1024 })) }), /2048/],
    [
      "weak: e = 3",
      () => ({ key: jwk(generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 })) }),
      /65537/,
    ],
    ["that is public", () => ({ key: rsa.publicKey.export({ format: "pem", type: "spki" }) }), /private key/],
    ["that is a public JWK", () => ({ key: rsa.publicKey.export({ format: "jwk" }) }), /private/],
    ["of the wrong curve", () => ({ key: jwk(generateKeyPairSync("ec", { namedCurve: "P-384" })) }), /P-256/],
    ["symmetric", () => ({ key: { kty: "oct", k: "AAAA" } }), /private key/],
    ["nonsense", () => ({ key: "nonsense" }), /private key/],
    ["with invalid characters in its kid (K1)", () => ({ key: pem, kid: "../x" }), /kid/],
    ["with a past date", () => ({ key: pem, verifiesUntil: new Date(NEW_YEAR - 1).toISOString() }), /future/],
  ])("rejects a key %s", async (_, fields, words) => {
    expectRefused(await admin("/apps/public/keys/import", { kid: "s-refused", ...fields() }), 400, "invalid", words);
    expect((await keysOf()).map((key) => key.kid)).not.toContain("s-refused");
  });

  it("rejects a kid that already exists", async () => {
    const { kid } = await active("static");
    expectRefused(await admin("/apps/public/keys/import", { kid, key: pem }), 400, "invalid", /already in use/);
  });

  it("rejects a key that would make the set too large (409)", async () => {
    const app = await newApp("too-many");
    const key = generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" });
    const answers: number[] = [];
    for (let i = 0; i < 70; i++) answers.push((await admin(`/apps/${app}/keys/import`, { kid: `s-${i}`, key })).status);
    expect(new Set(answers)).toEqual(new Set([200, 409]));
    expect(answers.at(-1)).toBe(409);
    expect((await published("jwks-all.json", app)).length).toBeLessThanOrEqual(64);
  }, 60_000);
});

describe("algorithms of an app", () => {
  it("are applied as set, each with its own key; keys other than RSA are only in the full set", async () => {
    const app = await newApp("algorithms");
    const ask = (algorithm: string, useStaticSigningKey: boolean) =>
      core.post({ algorithm, useStaticSigningKey }, { path: `/appid-${app}/recipe/jwt` });
    expect((await ask("ES256", true)).json).toEqual({ status: "UNSUPPORTED_ALGORITHM_ERROR" });
    const set = await admin(`/apps/${app}/algorithms`, { algorithms: ["RS256", "ES256", "Ed25519"] }, "PUT");
    expect(set.json).toEqual({ algorithms: ["RS256", "ES256", "Ed25519"] });
    const kids = new Set<unknown>();
    for (const algorithm of ["RS256", "es256", "Ed25519", "EdDSA"]) {
      for (const useStatic of [true, false]) {
        const jwt = (await ask(algorithm, useStatic)).json["jwt"] as string;
        const { header } = partsOf(jwt);
        kids.add(header["kid"]);
        expect(String(header["kid"])).toMatch(useStatic ? /^s-/ : /^d-/);
        expect(await verifies(jwt, app)).toBe(true);
      }
    }
    expect(kids.size).toBe(6);
    expect(new Set((await published("jwks.json", app)).map((key) => key.kty))).toEqual(new Set(["RSA"]));
    expect(new Set((await published("jwks-all.json", app)).map((key) => key.alg))).toEqual(
      new Set(["RS256", "ES256", "Ed25519"]),
    );

    const es = (await ask("ES256", true)).json["jwt"] as string;
    await admin(`/apps/${app}/algorithms`, { algorithms: null }, "PUT");
    expect((await ask("ES256", true)).json).toEqual({ status: "UNSUPPORTED_ALGORITHM_ERROR" });
    expect(await verifies(es, app)).toBe(true); // issued tokens remain valid
  });

  it.each([[[]], [["HS256"]], [["RS256", "RS256"]], ["RS256"]])("rejects %j", async (algorithms) => {
    expect((await admin("/apps/public/algorithms", { algorithms }, "PUT")).status).toBe(400);
  });
});

describe("the revocation feed", () => {
  const feed = async (app: string, headers = {}) =>
    core.call(`/appid-${app}/.well-known/revocations`, { apiKey: null, headers });
  const claimsOf = (answer: Answer) => partsOf(answer.text).claims;

  it("is a signed public document, cacheable for ten seconds", async () => {
    const app = await newApp("feed");
    const answer = await feed(app);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "application/jwt"]);
    expect(answer.headers.get("cache-control")).toBe("max-age=10, public");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    const { header, claims } = partsOf(answer.text);
    expect(header).toEqual({ alg: "RS256", typ: "revocations+jwt", kid: (await active("static", "RS256", app)).kid });
    expect(claims).toEqual({
      iat: expect.any(Number),
      generation: expect.any(Number),
      epoch: expect.any(Number),
      tokens: [],
      services: [],
      kids: [],
    });
    expect(await verifies(answer.text, app)).toBe(true);
    expect((await feed(app, { "if-none-match": answer.headers.get("etag")! })).status).toBe(304);
  });

  it("T23 is not accepted as a token", async () => {
    const { text } = await feed(await newApp("feed-typ"));
    expect(decodeJwt(text)).toEqual({ ok: false, reason: "typ_not_allowed" });
  });

  it("lists a token until its exp, a service with its time, and a key, in its own app only (S2)", async () => {
    const app = await newApp("feed-lists");
    const jwt = await mintIn(app, { validity: 3600 });
    const { jti, exp } = partsOf(jwt).claims;
    expect((await admin(`/apps/${app}/revocations/tokens`, { token: jwt })).json).toEqual({
      token: { jti, expiresAt: exp },
    });
    await admin(`/apps/${app}/revocations/tokens`, { token: jwt }); // Repeating it changes nothing.
    await admin(`/apps/${app}/revocations/tokens`, { jti: "__proto__" });
    await admin(`/apps/${app}/revocations/services`, { service: "orders" });
    const now = Math.floor(clock.now() / 1000);
    const listed = claimsOf(await feed(app));
    expect(listed).toMatchObject({
      tokens: expect.arrayContaining([
        [jti, exp],
        ["__proto__", 253_402_300_799],
      ]),
      services: [["orders", now]],
    });
    expect(listed["tokens"]).toHaveLength(2);
    expect(claimsOf(await feed("public"))).toMatchObject({ tokens: [], services: [] });

    const order = [listed["generation"], listed["epoch"]] as number[];
    clock.advance(3600_000 + 301_000);
    await admin(`/apps/${app}/revocations/services`, { service: "orders" });
    const later = claimsOf(await feed(app));
    expect(later["tokens"]).toEqual([["__proto__", 253_402_300_799]]);
    expect(later["services"]).toEqual([["orders", Math.floor(clock.now() / 1000)]]);
    expect([later["generation"], (later["epoch"] as number) > order[1]!]).toEqual([order[0], true]);
  });

  it("is never signed by a key that it lists", async () => {
    const app = await newApp("feed-signer");
    const { kid } = await active("static", "RS256", app);
    await admin(`/apps/${app}/keys/${kid}/revoke`, {}, "POST");
    const { header, claims } = partsOf((await feed(app)).text);
    expect(claims["kids"]).toEqual([kid]);
    expect(header["kid"]).not.toBe(kid);
    clock.advance(8 * DAY);
    await vi.waitFor(async () => expect(claimsOf(await feed(app))["kids"]).toEqual([]), { timeout: 5_000 });
  });

  it("rejects a revocation of an unknown or invalid target", async () => {
    const app = await newApp("feed-refuses");
    const elsewhere = await core.mint();
    const tokens = `/apps/${app}/revocations/tokens`;
    expectRefused(await admin(tokens, { token: elsewhere }), 404, "not_found", /not issued/);
    const [header, claims, signature] = (await mintIn(app)).split(".") as [string, string, string];
    const forged = Buffer.from(claims, "base64url").toString().replace("orders", "admins");
    expectRefused(
      await admin(tokens, { token: `${header}.${Buffer.from(forged).toString("base64url")}.${signature}` }),
      404,
      "not_found",
      /not issued/,
    );
    expectRefused(await admin(tokens, { token: "nonsense" }), 400, "invalid", /token: expected a JWT/);
    expectRefused(await admin(tokens, { jti: "x".repeat(65) }), 400, "invalid", /64/);
    expectRefused(await admin(tokens, { jti: "gone", expiresAt: 1 }), 404, "not_found", /expired/);
    expectRefused(await admin(tokens, {}), 400, "invalid", /./);
    expectRefused(await admin(`/apps/${app}/revocations/services`, { service: "" }), 400, "invalid", /1 to 256/);
  });

  it("limits its input: a jti and a service without NUL, an exp that can be formatted", async () => {
    const app = await newApp("feed-bounds");
    const tokens = `/apps/${app}/revocations/tokens`;
    expectRefused(await admin(tokens, { jti: "a\0b" }), 400, "invalid", /printable ASCII/);
    expectRefused(await admin(tokens, { jti: "a", expiresAt: 253_402_300_800 }), 400, "invalid", /expiresAt|body/);
    expect((await admin(tokens, { jti: "a", expiresAt: 253_402_300_799 })).status).toBe(200);
    expectRefused(await admin(`/apps/${app}/revocations/services`, { service: "a\0b" }), 400, "invalid", /NUL/);
  });

  it("H9 does not echo rejected input", async () => {
    const app = await newApp("feed-echo");
    const answer = await admin(`/apps/${app}/keys/%3Cimg%3E%1b%5b31m/revoke`, {}, "POST");
    expectRefused(answer, 404, "not_found", /^key not found, or already revoked$/);
  });

  it("an API key cannot revoke", async () => {
    const answer = await core.call("/admin/v1/apps/public/revocations/services", {
      method: "POST",
      apiKey: API_KEY,
      body: { service: "orders" },
    });
    expect(answer.status).toBe(401);
  });
});
