import { afterEach, describe, expect, test } from "vitest";
import countersign, { init } from "../../src/index.ts";
import { defaultInstance } from "../../src/instance/default-instance.ts";
import jwt, { createJWT, getJWKS } from "../../src/recipe-jwt.ts";
import { appInfo, forgetDefaultInstance } from "../support/instances.ts";
import { startStandInCore } from "../support/stand-in-core.ts";

afterEach(forgetDefaultInstance);

const NOT_INITIALISED = "Initialisation not done. Did you forget to call the Jwt.init function?";

describe("before init", () => {
  test("recipe functions reject with that message", async () => {
    await expect(jwt.createJWT({})).rejects.toMatchObject({ code: "not_initialised", message: NOT_INITIALISED });
    await expect(jwt.getJWKS()).rejects.toThrow(NOT_INITIALISED);
  });

  test("recipe functions also reject after an init without the recipe", async () => {
    init({ appInfo });
    await expect(createJWT()).rejects.toThrow(NOT_INITIALISED);
  });
});

describe("init", () => {
  test("creates the instance that the recipe functions use, under every exported name", async () => {
    const core = await startStandInCore();
    countersign.init({ appInfo, supertokens: { connectionURI: core.url }, recipeList: [jwt.init()] });
    expect(await jwt.createJWT({ a: 1 }, 60, false)).toMatchObject({ status: "OK" });
    expect(await createJWT()).toMatchObject({ status: "OK" });
    expect(await jwt.getJWKS()).toEqual(await getJWKS({}));
    expect(core.calls.map(({ body }) => [body["validity"], body["useStaticSigningKey"]])).toEqual([
      [60, false],
      [3_153_600_000, true],
    ]);
  });

  test("core and supertokens are the same option; both together are an error", async () => {
    const core = await startStandInCore();
    const both = { core: { connectionURI: core.url }, supertokens: { connectionURI: core.url } };
    expect(() => init({ appInfo, ...both })).toThrow(/are the same option/);
    expect(defaultInstance()).toBeUndefined();
    init({ appInfo, core: both.core, recipeList: [jwt.init()] });
    expect(await createJWT()).toMatchObject({ status: "OK" });
  });

  test("a second call has no effect, with any argument", async () => {
    const [first, second] = [await startStandInCore(), await startStandInCore()];
    init({ appInfo, core: { connectionURI: first.url }, recipeList: [jwt.init()] });
    const instance = defaultInstance();
    init({
      appInfo: { ...appInfo, apiDomain: "other.test" },
      core: { connectionURI: second.url },
      recipeList: [jwt.init()],
    });
    init(undefined as never);
    expect(defaultInstance()).toBe(instance);
    await createJWT();
    expect([first.calls.length, second.connections()]).toEqual([1, 0]);
    expect(first.calls[0]!.body["jwksDomain"]).toBe("http://localhost:4001");
  });

  test("accepts every option that existing services pass", async () => {
    const core = await startStandInCore();
    init({
      appInfo: { ...appInfo, origin: "http://localhost:3000", websiteBasePath: "/login", apiGatewayPath: "/gw" },
      framework: "express",
      isInServerlessEnv: true,
      telemetry: false,
      debug: false,
      supertokens: { connectionURI: core.url, networkInterceptor: (request) => request, disableCoreCallCache: true },
      recipeList: [jwt.init()],
    });
    expect(await createJWT()).toMatchObject({ status: "OK" });
    expect(defaultInstance()!.appInfo.apiBasePath).toBe("/gw/auth");
  });

  test.each([
    [undefined, /init: expected an object/],
    [{}, /^appInfo/],
    [{ appInfo: { ...appInfo, apiDomain: "orders" } }, /Please provide a valid domain name/],
    [{ appInfo, core: {} }, /^connectionURI/],
    [{ appInfo, core: { connectionURI: "core" } }, /Please provide a valid domain name/],
  ])("init(%j) throws, and nothing is initialised", (config, message) => {
    expect(() => init(config as never)).toThrow(message);
    expect(defaultInstance()).toBeUndefined();
  });

  test("both builds of the package find the same instance: it is stored on globalThis", () => {
    init({ appInfo });
    const key = Symbol.for("countersign.default-instance");
    expect((globalThis as Record<symbol, unknown>)[key]).toBe(defaultInstance());
    expect(defaultInstance()).toBeDefined();
  });
});
