// Tokens that a service requests with its own credential on the driver interface.
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { fakeClock, type FakeClock } from "../../support/clock.ts";
import { expectText, partsOf, startTestCore, type TestCore } from "../../support/core.ts";
import { callServices, newCredential } from "../../support/services.ts";

let core: TestCore;
let clock: FakeClock;
let apiKey: string;
beforeAll(async () => {
  clock = fakeClock();
  core = await startTestCore({ maxRingAge: 1e15 }, { clock });
  apiKey = (await newCredential(core, "orders")).credential;
});
const ask = (fields: Record<string, unknown> = {}) => core.post({ payload: {}, ...fields }, { apiKey });
const claimsFor = async (fields: Record<string, unknown> = {}) =>
  partsOf((await ask(fields)).json["jwt"] as string).claims;

describe("a service's token", () => {
  it("identifies the service, ignores conflicting fields, and can be verified", async () => {
    const answer = await ask();
    const now = Math.floor(clock.now() / 1000);
    expect(partsOf(answer.json["jwt"] as string)).toEqual({
      header: { alg: "RS256", typ: "JWT", kid: expect.stringMatching(/^s-/) },
      claims: {
        iss: core.url,
        sub: "orders",
        source: "microservice",
        iat: now,
        exp: now + 3600,
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
    });
    const keySet = createLocalJWKSet({ keys: await core.keys() } as unknown as JSONWebKeySet);
    await jwtVerify(answer.json["jwt"] as string, keySet, { currentDate: new Date(clock.now()) });
  });

  it("is static or dynamic as requested", async () => {
    const jwt = (await ask({ useStaticSigningKey: false })).json["jwt"] as string;
    expect(partsOf(jwt).header["kid"]).toMatch(/^d-/);
  });

  it("expires after at most an hour, and the response has the shorter expiry", async () => {
    const now = Math.floor(clock.now() / 1000);
    const hundredYears = await ask({ validity: 3_153_600_000 });
    expect(hundredYears.json).toEqual({ status: "OK", jwt: expect.any(String), expiresAt: now + 3600 });
    expect(partsOf(hundredYears.json["jwt"] as string).claims["exp"]).toBe(now + 3600);
    expect((await ask({ validity: 3600 })).json).toEqual({ status: "OK", jwt: expect.any(String) });
    const minute = await ask({ validity: 60 });
    expect(minute.json).toEqual({ status: "OK", jwt: expect.any(String) });
    expect(partsOf(minute.json["jwt"] as string).claims["exp"]).toBe(now + 60);
  });

  it("carries the other claims of the payload", async () => {
    expect(await claimsFor({ payload: { region: "eu", nested: { a: [1] } } })).toMatchObject({
      region: "eu",
      nested: { a: [1] },
      sub: "orders",
    });
  });

  it("has no audience or scope if no policy was applied (S3)", async () => {
    for (const fields of [{ audience: "billing" }, { scope: "a" }, { audience: "", scope: "a b" }]) {
      expectText(await ask(fields), 403, "no policy has been applied, so tokens have no audience and no scope");
    }
    expect(Object.keys(await claimsFor())).not.toEqual(expect.arrayContaining(["aud"]));
    expect(Object.keys(await claimsFor())).not.toEqual(expect.arrayContaining(["scope"]));
  });

  it("rejects fields of the wrong type, which an API key's request ignores", async () => {
    for (const audience of [1, null, ["billing"], {}]) {
      expectText(await ask({ audience }), 400, "Field name 'audience' is invalid in JSON input");
      expect((await core.post({ audience })).status).toBe(200);
    }
    for (const scope of [1, null, ["a"], "", " ", "a  b", " a", 'a"b', "a\\b", "a\nb", "é", "x".repeat(129)]) {
      expectText(await ask({ scope }), 400, "Field name 'scope' is invalid in JSON input");
      const { claims } = partsOf(await core.mint({ scope }));
      expect(claims).not.toHaveProperty("scope");
    }
  });

  it("is rejected if its payload cannot be a token", async () => {
    expectText(await ask({ payload: [] }), 400, "Field name 'payload' is invalid in JSON input");
    expectText(await ask({ validity: 0 }), 400, "validity must be greater than or equal to 0");
    expect((await ask({ algorithm: "HS256" })).json).toEqual({ status: "UNSUPPORTED_ALGORITHM_ERROR" });
    expect((await ask({ payload: { big: "x".repeat(9_000) } })).status).toBe(400);
  });

  it("is no longer issued once its service is disabled", async () => {
    const { credential } = await newCredential(core, "closing");
    const status = async () => (await core.post({ payload: {} }, { apiKey: credential })).status;
    expect(await status()).toBe(200);
    await callServices(core, "/closing/disable", {});
    expect(await status()).toBe(401);
    await callServices(core, "/closing/enable", {});
    expect(await status()).toBe(200);
  });
});

describe("without a configured key", () => {
  it("S2 a credential authenticates only its service, and never manages apps", async () => {
    const { credential, id } = await newCredential(core, "lonely");
    const open = await startTestCore(
      { dataDir: core.dataDir, apiKeys: [], adminKeys: [], maxRingAge: 1e15 },
      { clock },
    );
    const claims = partsOf(await open.mint({ payload: {} }, { apiKey: credential })).claims;
    expect(claims["sub"]).toBe("lonely");
    expect((await open.post({ payload: { sub: "billing" } }, { apiKey: credential })).status).toBe(403);
    for (const [method, path] of [
      ["PUT", "/recipe/multitenancy/app/v2"],
      ["GET", "/recipe/multitenancy/app/list/v2"],
      ["POST", "/recipe/multitenancy/app/remove"],
    ] as const) {
      const body = method === "GET" ? {} : { body: { appId: "mine" } };
      expectText(
        await open.call(path, { method, apiKey: credential, ...body }),
        403,
        "Managing apps needs an admin key",
      );
      expect((await open.call(path, { method, apiKey: null, ...body })).status).toBe(200);
    }
    await callServices(core, `/lonely/credentials/${id}/revoke`, {});
    await expect.poll(async () => (await open.post({}, { apiKey: credential })).status, { timeout: 5_000 }).toBe(401);
    expect((await open.post({}, { apiKey: null })).status).toBe(200);
  });
});
