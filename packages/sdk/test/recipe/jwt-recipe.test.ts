import { createLocalJWKSet, decodeJwt, jwtVerify, type JSONWebKeySet } from "jose";
import { describe, expect, test, vi } from "vitest";
import { createCountersign } from "../../src/instance/countersign.ts";
import jwt, { type CreateJWTResult, type RecipeFunctions } from "../../src/recipe-jwt.ts";
import { deadAddress } from "../support/http.ts";
import { appInfo, closingInstance, instanceAt } from "../support/instances.ts";
import { edKey, tokenBy } from "../support/keys.ts";
import { startStandInCore } from "../support/stand-in-core.ts";

function tokenOf(result: CreateJWTResult): string {
  if (result.status !== "OK") throw new Error(result.status);
  return result.jwt;
}

describe("createJWT", () => {
  test("requests a hundred years, RS256 and the static key, with apiDomain as the issuer", async () => {
    const core = await startStandInCore();
    const result = await instanceAt(core.url).createJWT({ source: "microservice", service: "orders" });
    expect(core.calls[0]!.body).toEqual({
      payload: { source: "microservice", service: "orders" },
      algorithm: "RS256",
      jwksDomain: "http://localhost:4001",
      validity: 3_153_600_000,
      useStaticSigningKey: true,
    });
    const set = createLocalJWKSet({ keys: [core.key.jwk] } as unknown as JSONWebKeySet);
    const { payload } = await jwtVerify(tokenOf(result), set, { issuer: "http://localhost:4001" });
    expect(payload).toMatchObject({ source: "microservice", service: "orders", exp: payload.iat! + 3_153_600_000 });
    expect(Object.keys(result).sort()).toEqual(["jwt", "status"]);
  });

  test.each<[Parameters<typeof jwt.createJWT>, object]>([
    [[], { payload: {} }],
    [[undefined, undefined, undefined, {}], { payload: {}, validity: 3_153_600_000, useStaticSigningKey: true }],
    [[{ a: 1 }, 60], { payload: { a: 1 }, validity: 60 }],
    [[{}, undefined, false], { validity: 3_153_600_000, useStaticSigningKey: false }],
    [[{}, 60, true], { useStaticSigningKey: true }],
    [[{ iss: "https://own.test" }], { payload: { iss: "https://own.test" } }],
  ])("createJWT(...%j) sends %j", async (args, expected) => {
    const core = await startStandInCore();
    await instanceAt(core.url).createJWT(...args);
    expect(core.calls[0]!.body).toMatchObject(expected);
  });

  test("jwtValiditySeconds of init is the default, and the second argument overrides it", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(core.url, { jwtValiditySeconds: 300 });
    await instance.createJWT();
    await instance.createJWT({}, 60);
    expect(core.calls.map(({ body }) => body["validity"])).toEqual([300, 60]);
  });

  test.each([[0], [-1], [1.5], [NaN], [Infinity], ["60"], [3_153_600_001]])(
    "a validity of %s is rejected without a request to the core",
    async (validity) => {
      const core = await startStandInCore();
      await expect(instanceAt(core.url).createJWT({}, validity as number)).rejects.toMatchObject({
        code: "invalid_argument",
      });
      expect(core.connections()).toBe(0);
      expect(() => jwt.init({ jwtValiditySeconds: validity as number })).toThrow(
        expect.objectContaining({ code: "invalid_option" }) as Error,
      );
    },
  );

  test.each([["text"], [1], [true], [[]], [[{ a: 1 }]], [() => ({})], [Symbol("x")]])(
    "a payload of %s is rejected without a request to the core",
    async (payload) => {
      const core = await startStandInCore();
      await expect(instanceAt(core.url).createJWT(payload as object)).rejects.toMatchObject({
        code: "invalid_argument",
      });
      expect(core.connections()).toBe(0);
    },
  );

  test("an algorithm that the core does not sign with is a status, not an error", async () => {
    const core = await startStandInCore();
    core.intercept = (req, res) =>
      req.url === "/recipe/jwt" && (res.end('{"status":"UNSUPPORTED_ALGORITHM_ERROR","x":1}'), true);
    expect(await instanceAt(core.url).createJWT()).toEqual({ status: "UNSUPPORTED_ALGORITHM_ERROR" });
  });

  test.each([['{"status":"OK"}'], ['{"status":"OK","jwt":1}'], ['{"jwt":"a.b.c"}'], ["{}"]])(
    "the response %s contains no token",
    async (text) => {
      const core = await startStandInCore();
      core.intercept = (req, res) => req.url === "/recipe/jwt" && (res.end(text), true);
      await expect(instanceAt(core.url).createJWT()).rejects.toMatchObject({ code: "core_refused", status: 200 });
    },
  );

  const BY_KEY = "but its signing key, and therefore the token, expires at 2030-01-02T00:00:00.000Z: ";
  const BY_CREDENTIAL =
    "but a service credential gets tokens for at most one hour, and this one expires at 2030-01-02T00:00:00.000Z: ";
  const CREDENTIAL = `cs_orders_${"A".repeat(43)}`;
  test.each([
    [
      "an API key",
      undefined,
      false,
      3_600,
      `${BY_KEY}request less, or renew the token before then, or use the static key`,
    ],
    // An operator has set an expiry on the static key.
    ["an API key", undefined, true, 3_600, `${BY_KEY}request less, or renew the token before then`],
    ...[true, false].map(
      (useStatic) =>
        [
          ...(["a service's credential", CREDENTIAL, useStatic, 3_600] as const),
          `${BY_CREDENTIAL}request less, or renew the token before then, as createServiceFetch does`,
        ] as const,
    ),
    // Its key expires before the limit for service credentials.
    ["a service's credential", CREDENTIAL, true, 3_599, `${BY_KEY}request less, or renew the token before then`],
  ] as const)(
    "R16 warns once of a shortened exp, with the cause, the requested and the actual exp: %s %j static %s, %i s",
    async (_, apiKey, useStaticSigningKey, lifetime, expectedCause) => {
      vi.resetModules(); // once per process
      const { createCountersign: createAfresh } = await import("../../src/instance/countersign.ts");
      const warnings: (Error & { code?: string })[] = [];
      const remember = (warning: Error) => void warnings.push(warning);
      process.on("warning", remember);
      const core = await startStandInCore();
      const expiresAt = Date.UTC(2030, 0, 2) / 1000;
      core.intercept = (req, res) =>
        req.url === "/recipe/jwt" && (res.end(JSON.stringify({ status: "OK", jwt: token, expiresAt })), true);
      const token = tokenBy(edKey("s-1"), { iat: expiresAt - lifetime, exp: expiresAt });
      const instance = closingInstance(createAfresh({ appInfo, core: { connectionURI: core.url, apiKey } }));
      const validity = 31_536_000;
      const before = Date.now();
      for (let i = 0; i < 3; i++) {
        expect(await instance.createJWT({}, validity, useStaticSigningKey)).toEqual({ status: "OK", jwt: token });
      }
      const after = Date.now();
      await new Promise((resolve) => setImmediate(resolve)); // warnings are emitted later
      process.off("warning", remember);
      expect(warnings.map((warning) => warning.code)).toEqual(["COUNTERSIGN_EXP_CLAMPED"]);
      const { message } = warnings[0]!;
      const [, asked, cause] = /^createJWT requested a token until (\S+), (.*)$/.exec(message)!;
      expect(Date.parse(asked!)).toBeGreaterThanOrEqual(before + validity * 1000);
      expect(Date.parse(asked!)).toBeLessThanOrEqual(after + validity * 1000);
      expect(cause).toBe(expectedCause);
    },
  );

  test("without a core it rejects with the missing option", async () => {
    const instance = closingInstance(createCountersign({ appInfo, recipeList: [jwt.init()] }));
    await expect(instance.createJWT()).rejects.toMatchObject({
      code: "invalid_option",
      message: expect.stringContaining("connectionURI") as string,
    });
    await expect(instance.getJWKS()).rejects.toMatchObject({ code: "invalid_option" });
  });

  test("if the core requires an audience, the error explains how to set it", async () => {
    const core = await startStandInCore();
    core.intercept = (req, res) =>
      req.method === "POST" &&
      (res.writeHead(400).end("'audience' is missing: cart may call inventory and orders"), true);
    const instance = instanceAt(core.url, {}, { apiKey: `cs_cart_${"r".repeat(43)}` });
    await expect(instance.createJWT({})).rejects.toMatchObject({
      code: "core_refused",
      status: 400,
      message: expect.stringMatching(
        /cart may call inventory and orders: set 'aud' in the payload, or use getServiceToken\(\{ audience \}\)$/,
      ) as string,
    });
  });

  test("errors never contain the payload or the key", async () => {
    const instance = instanceAt(deadAddress(), {}, { apiKey: "canary-key-0123456789" });
    const error = await instance.createJWT({ canary: "canary-claim" }).catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ code: "core_unreachable" });
    expect(String((error as Error).stack)).not.toContain("canary");
  });
});

describe("getJWKS", () => {
  test("returns the core's RSA set and its max-age", async () => {
    const core = await startStandInCore();
    core.cacheControl = "max-age=90, public";
    expect(await instanceAt(core.url).getJWKS()).toEqual({ keys: [core.key.jwk], validityInSeconds: 90 });
    expect(core.requests.map((request) => request.url)).toEqual(["/.well-known/jwks.json"]);
  });

  test("returns 60 if the core sends no max-age", async () => {
    const core = await startStandInCore();
    core.cacheControl = undefined;
    expect((await instanceAt(core.url).getJWKS()).validityInSeconds).toBe(60);
  });

  test("a caller that changes the result does not change it for others", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(core.url);
    (await instance.getJWKS()).keys.length = 0;
    expect((await instance.getJWKS()).keys).toHaveLength(1);
    expect(core.count("/.well-known/jwks.json")).toBe(1);
  });

  test.each([["<html>"], ["null"], ["{}"], ['{"keys":{}}'], ["[]"]])(
    "the document %s is not a key set",
    async (text) => {
      const core = await startStandInCore();
      core.jwksBody = text;
      await expect(instanceAt(core.url).getJWKS()).rejects.toMatchObject({ code: "core_refused", status: 200 });
    },
  );

  test("an error of the core is an error", async () => {
    const core = await startStandInCore();
    core.intercept = (_req, res) => (res.writeHead(403).end("forbidden\n"), true);
    await expect(instanceAt(core.url).getJWKS()).rejects.toMatchObject({
      code: "core_refused",
      status: 403,
      message: expect.stringMatching(/403: forbidden$/) as string,
    });
  });
});

describe("override.functions", () => {
  test("receives one object and can call the original; its result replaces the original's", async () => {
    const core = await startStandInCore();
    const inputs: unknown[] = [];
    const instance = instanceAt(core.url, {
      override: {
        functions: (original) => ({
          ...original,
          async createJWT(input) {
            inputs.push(input);
            return original.createJWT({ ...input, payload: { ...input.payload, added: true } });
          },
          getJWKS: async (input) => (inputs.push(input), { keys: [] }),
        }),
      },
    });
    const userContext = { trace: "t" };
    const token = tokenOf(await instance.createJWT({ a: 1 }, 60, false, userContext));
    expect(decodeJwt(token)).toMatchObject({ a: 1, added: true });
    expect(core.calls[0]!.body).toMatchObject({ validity: 60, useStaticSigningKey: false });
    expect(await instance.getJWKS(userContext)).toEqual({ keys: [] });
    expect(inputs).toEqual([
      { payload: { a: 1 }, validitySeconds: 60, useStaticSigningKey: false, userContext },
      { userContext },
    ]);
  });

  test("nothing is merged: an omitted function is removed", () => {
    const only: RecipeFunctions["createJWT"] = async () => ({ status: "UNSUPPORTED_ALGORITHM_ERROR" });
    const recipe = jwt.init({ override: { functions: () => ({ createJWT: only }) as unknown as RecipeFunctions } });
    const instance = closingInstance(createCountersign({ appInfo, recipeList: [recipe] }));
    expect(instance.jwt!.functions).toEqual({ createJWT: only });
  });

  test("an override needs no core", async () => {
    const recipe = jwt.init({
      override: { functions: (original) => ({ ...original, createJWT: async () => ({ status: "OK", jwt: "a.b.c" }) }) },
    });
    const instance = closingInstance(createCountersign({ appInfo, recipeList: [recipe] }));
    expect(await instance.createJWT()).toEqual({ status: "OK", jwt: "a.b.c" });
  });

  test("the userContext reaches the networkInterceptor", async () => {
    const core = await startStandInCore();
    const contexts: unknown[] = [];
    const instance = instanceAt(
      core.url,
      {},
      { networkInterceptor: (request, context) => (contexts.push([request.url.split("/").at(-1), context]), request) },
    );
    await instance.createJWT({}, 60, true, { a: 1 });
    await instance.getJWKS({ b: 2 });
    expect(contexts).toEqual([
      ["apiversion", {}],
      ["jwt", { a: 1 }],
      ["jwks.json", { b: 2 }],
    ]);
  });
});
