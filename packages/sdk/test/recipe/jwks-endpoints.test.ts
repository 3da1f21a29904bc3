import { describe, expect, test } from "vitest";
import { createCountersign, type Countersign } from "../../src/instance/countersign.ts";
import type { FrontAnswer } from "../../src/recipe/jwks-endpoints.ts";
import jwt, {
  type APIOptions,
  type JwtRecipeConfig,
  type RecipeApis,
  type RecipeFunctions,
} from "../../src/recipe-jwt.ts";
import { deadAddress } from "../support/http.ts";
import { appInfo, closingInstance, instanceAt } from "../support/instances.ts";
import { edKey, forge } from "../support/keys.ts";
import { startStandInCore } from "../support/stand-in-core.ts";

async function get({ front }: Countersign, path: string, method = "GET"): Promise<FrontAnswer | undefined> {
  const request = {
    original: {},
    getMethod: () => method,
    getOriginalURL: () => path,
    getHeaderValue: () => undefined,
    getKeyValueFromQuery: () => undefined,
  };
  return front.handle({ request, originalResponse: {}, path });
}

const JWKS = "/auth/jwt/jwks.json";
const headersOf = (answer: FrontAnswer | undefined) => Object.fromEntries(answer!.headers);
type GetJwks = NonNullable<RecipeApis["getJWKSGET"]>;
const withApi = (getJWKSGET: (original: GetJwks) => RecipeApis["getJWKSGET"]): JwtRecipeConfig => ({
  override: { apis: (original) => ({ getJWKSGET: getJWKSGET(original.getJWKSGET!) }) },
});

describe("jwks.json", () => {
  test("contains exactly the core's keys, with exactly these headers", async () => {
    const core = await startStandInCore();
    const answer = await get(instanceAt(core.url), JWKS);
    expect(answer).toMatchObject({ status: 200, body: JSON.stringify({ keys: [core.key.jwk] }) });
    expect(headersOf(answer)).toEqual({
      "content-type": "application/json; charset=utf-8",
      "access-control-allow-origin": "*",
      "cache-control": "max-age=60, must-revalidate",
    });
  });

  test.each([
    ["max-age=90, public, stale-if-error=86400", "max-age=90, must-revalidate"],
    ["no-store", "max-age=60, must-revalidate"],
    [undefined, "max-age=60, must-revalidate"],
  ])("a core's Cache-Control of %s becomes %s", async (cacheControl, expected) => {
    const core = await startStandInCore();
    core.cacheControl = cacheControl;
    expect(headersOf(await get(instanceAt(core.url), JWKS))["cache-control"]).toBe(expected);
  });

  test("many requests cause one request to the core, and the set is served while the core is down", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(core.url);
    for (let i = 0; i < 5; i++) expect((await get(instance, JWKS))?.status).toBe(200);
    expect(core.count("/.well-known/jwks.json")).toBe(1);
    await core.close();
    expect((await get(instance, JWKS))?.status).toBe(200);
  });

  test("an error of the core rejects, for the framework's error handler", async () => {
    await expect(get(instanceAt(deadAddress()), JWKS)).rejects.toMatchObject({ code: "core_unreachable" });
  });
});

describe("override.functions.getJWKS", () => {
  test.each([
    [5, "max-age=5, must-revalidate"],
    [0, "max-age=0, must-revalidate"],
    [undefined, undefined],
  ])("with a validityInSeconds of %s, Cache-Control is %s", async (validityInSeconds, expected) => {
    const core = await startStandInCore();
    const instance = instanceAt(core.url, {
      override: {
        functions: (original) => ({
          ...original,
          async getJWKS(input) {
            const { keys } = await original.getJWKS(input);
            return validityInSeconds === undefined ? { keys } : { keys, validityInSeconds };
          },
        }),
      },
    });
    const answer = await get(instance, JWKS);
    expect(headersOf(answer)["cache-control"]).toBe(expected);
    expect(JSON.parse(answer!.body)).toEqual({ keys: [core.key.jwk] });
  });
});

describe("override.apis.getJWKSGET", () => {
  test("receives the options of the contract", async () => {
    const core = await startStandInCore();
    let seen: { options: APIOptions; userContext: object } | undefined;
    const config = withApi((original) => async (input) => ((seen = input), original(input)));
    const instance = instanceAt(core.url, { ...config, jwtValiditySeconds: 60 });
    await get(instance, JWKS);
    expect(seen!.options.recipeId).toBe("jwt");
    expect(seen!.options.config.jwtValiditySeconds).toBe(60);
    expect(seen!.options.recipeImplementation).toBe(instance.jwt!.functions);
    expect(seen!.options.req.getOriginalURL()).toBe(JWKS);
    expect(seen!.userContext).toEqual({});
  });

  test("can set and remove headers, and its Cache-Control overrides the default", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(
      core.url,
      withApi((original) => async (input) => {
        const result = await original(input);
        input.options.res.setHeader("Cache-Control", "no-store");
        input.options.res.setHeader("X-Own", "1");
        input.options.res.setHeader("X-Other", "1");
        input.options.res.removeHeader("x-OTHER");
        return result;
      }),
    );
    const headers = headersOf(await get(instance, JWKS));
    expect([headers["cache-control"], headers["x-own"], headers["x-other"]]).toEqual(["no-store", "1", undefined]);
  });

  test("can return a GENERAL_ERROR, which is sent with 200", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(
      core.url,
      withApi(() => async () => ({ status: "GENERAL_ERROR", message: "not today" })),
    );
    const answer = await get(instance, JWKS);
    expect([answer!.status, JSON.parse(answer!.body)]).toEqual([
      200,
      { status: "GENERAL_ERROR", message: "not today" },
    ]);
    expect(core.connections()).toBe(0);
  });

  test("can return its own keys; other members of its result are not sent", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(
      core.url,
      withApi(() => async () => ({ status: "OK", keys: [], more: 1 })),
    );
    expect((await get(instance, JWKS))!.body).toBe('{"keys":[]}');
  });

  test("set to undefined removes only that route", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(
      core.url,
      withApi(() => undefined),
    );
    expect(await get(instance, JWKS)).toBeUndefined();
    expect((await get(instance, "/auth/.well-known/openid-configuration"))?.status).toBe(200);
  });
});

describe("the other documents", () => {
  test("jwks-all.json is the full set of the core, or 404 if the core has none", async () => {
    const core = await startStandInCore();
    core.cacheControl = "max-age=60, public";
    const missing = await get(instanceAt(core.url), "/auth/jwt/jwks-all.json");
    expect([missing!.status, missing!.body]).toEqual([404, "{}"]);
    core.fullSet = [core.key.jwk, edKey().jwk];
    const answer = await get(instanceAt(core.url), "/auth/jwt/jwks-all.json");
    expect(answer).toMatchObject({ status: 200, body: JSON.stringify({ keys: core.fullSet }) });
    expect(headersOf(answer)).toEqual({
      "access-control-allow-origin": "*",
      "content-type": "application/json; charset=utf-8",
      "cache-control": "max-age=60, must-revalidate",
    });
  });

  test("a service that overrides its keys does not serve the full set", async () => {
    const core = await startStandInCore();
    core.fullSet = [core.key.jwk, edKey().jwk];
    for (const override of [
      { functions: (original: RecipeFunctions) => ({ ...original, getJWKS: async () => ({ keys: [] }) }) },
      { apis: () => ({ getJWKSGET: undefined }) },
    ]) {
      const instance = createCountersign({
        appInfo: { appName: "orders", apiDomain: "localhost:4001" },
        core: { connectionURI: core.url },
        recipeList: [jwt.init({ override })],
      });
      expect(await get(instance, "/auth/jwt/jwks-all.json")).toBeUndefined();
    }
  });

  test("unauthenticated requests cause one request to the core, also for documents that it does not have", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(core.url);
    for (const path of ["/auth/jwt/jwks.json", "/auth/jwt/revocations", "/auth/jwt/jwks-all.json"]) {
      const before = core.requests.length;
      await Promise.all(Array.from({ length: 50 }, () => get(instance, path)));
      await get(instance, path);
      expect(core.requests.length - before).toBe(1);
    }
  });

  test("revocations is the core's feed, unchanged", async () => {
    const core = await startStandInCore();
    const feed = forge(core.key, { alg: "RS256", typ: "revocations+jwt", kid: core.key.jwk["kid"] }, { epoch: 1 });
    core.revocations = feed;
    core.cacheControl = "max-age=10, public";
    const answer = await get(instanceAt(core.url), "/auth/jwt/revocations");
    expect(answer).toMatchObject({ status: 200, body: feed });
    expect(headersOf(answer)).toEqual({
      "access-control-allow-origin": "*",
      "content-type": "application/jwt",
      "cache-control": "max-age=10, public",
      etag: '"1"',
    });
  });

  test("R17 while the core fails, a stale key set is served and a stale feed is not", async () => {
    const core = await startStandInCore();
    const instance = instanceAt(core.url);
    core.revocations = "nothing.is.revoked";
    core.cacheControl = "max-age=0, public";
    expect((await get(instance, "/auth/jwt/revocations"))?.status).toBe(200);
    core.cacheControl = "max-age=0, stale-if-error=86400";
    expect((await get(instance, JWKS))?.status).toBe(200);
    core.intercept = (_req, res) => (res.writeHead(503).end("Service Unavailable"), true);
    await expect(get(instance, "/auth/jwt/revocations")).rejects.toMatchObject({ code: "core_refused", status: 503 });
    expect((await get(instance, JWKS))?.status).toBe(200);
  });

  test.each([401, 404])("R17 a core that responds with %s has no feed", async (status) => {
    const core = await startStandInCore();
    core.intercept = (_req, res) => (res.writeHead(status).end("x"), true);
    expect((await get(instanceAt(core.url), "/auth/jwt/revocations"))?.status).toBe(404);
  });

  test.each([302, 304, 400, 403, 405, 413])(
    "R17 %s from the core is an error, because without a feed a verifier would treat nothing as revoked",
    async (status) => {
      const core = await startStandInCore();
      core.intercept = (_req, res) => (res.writeHead(status).end(), true);
      await expect(get(instanceAt(core.url), "/auth/jwt/revocations")).rejects.toMatchObject({
        code: "core_refused",
        status,
      });
    },
  );

  test("a failure of the core is an error for the error handler", async () => {
    const core = await startStandInCore();
    core.intercept = (_req, res) => (res.writeHead(500, { "x-secret": "1" }).end("stack trace"), true);
    await expect(get(instanceAt(core.url), "/auth/jwt/revocations")).rejects.toMatchObject({
      code: "core_refused",
      status: 500,
    });
  });

  test("the discovery document names issuer and jwks_uri", async () => {
    const core = await startStandInCore();
    const answer = await get(instanceAt(core.url), "/auth/.well-known/openid-configuration");
    expect(JSON.parse(answer!.body)).toMatchObject({
      issuer: "http://localhost:4001/auth",
      jwks_uri: "http://localhost:4001/auth/jwt/jwks.json",
    });
    expect(headersOf(answer)).toMatchObject({
      "access-control-allow-origin": "*",
      "content-type": "application/json; charset=utf-8",
    });
  });
});

describe("paths", () => {
  test.each([
    [{}, "/auth"],
    [{ apiBasePath: "/" }, ""],
    [{ apiBasePath: "v1/auth/" }, "/v1/auth"],
    [{ apiGatewayPath: "/gw" }, "/gw/auth"],
  ])("%j: the base path of the front interface is %j", async (more, base) => {
    const core = await startStandInCore();
    const instance = closingInstance(
      createCountersign({
        appInfo: { ...appInfo, ...more },
        core: { connectionURI: core.url },
        recipeList: [jwt.init()],
      }),
    );
    expect((await get(instance, `${base}/jwt/jwks.json`))?.status).toBe(200);
    const discovery = await get(instance, `${base}/.well-known/openid-configuration`);
    expect(JSON.parse(discovery!.body)).toMatchObject({ jwks_uri: `http://localhost:4001${base}/jwt/jwks.json` });
  });

  test.each([
    ["POST", JWKS],
    ["OPTIONS", JWKS],
    ["GET", "/auth/jwt/jwks.json/"],
    ["GET", "/AUTH/jwt/jwks.json"],
    ["GET", "/auth"],
    ["GET", "/auth/jwt/../jwt/jwks.json"],
  ])("%s %s is not a route of the front interface", async (method, path) => {
    const core = await startStandInCore();
    expect(await get(instanceAt(core.url), path, method)).toBeUndefined();
    expect(core.connections()).toBe(0);
  });

  test("without a core, the feed and the full set do not exist", async () => {
    const instance = closingInstance(createCountersign({ appInfo, recipeList: [jwt.init()] }));
    expect(await get(instance, "/auth/jwt/jwks-all.json")).toBeUndefined();
    expect(await get(instance, "/auth/jwt/revocations")).toBeUndefined();
  });
});
