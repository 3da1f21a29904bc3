import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { API_KEY, expectText, partsOf, startTestCore, type TestCore } from "../../support/core.ts";

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ adminKeys: [] }); // An API key then manages apps.
});

const CREATE = "/recipe/multitenancy/app/v2";
const LIST = "/recipe/multitenancy/app/list/v2";
const REMOVE = "/recipe/multitenancy/app/remove";
const create = (body: unknown, prefix = "") => core.call(prefix + CREATE, { method: "PUT", body });
const remove = (body: unknown, prefix = "") => core.call(prefix + REMOVE, { method: "POST", body });
const appIds = async () => {
  const { status, apps } = (await core.call(LIST)).json as { status: string; apps: { appId: string }[] };
  expect(status).toBe("OK");
  return apps.map(({ appId }) => appId).sort();
};

describe("apps", () => {
  it("are created once under any spelling, listed, and removed", async () => {
    expect((await create({ appId: "shop" })).json).toEqual({ status: "OK", createdNew: true });
    for (const appId of ["shop", "SHOP", " Shop "]) {
      expect((await create({ appId, coreConfig: { anything: [1] } })).json).toEqual({
        status: "OK",
        createdNew: false,
      });
    }
    expect(await appIds()).toEqual(["public", "shop"]);
    expect((await remove({ appId: "Shop" })).json).toEqual({ status: "OK", didExist: true });
    expect((await remove({ appId: "shop" })).json).toEqual({ status: "OK", didExist: false });
    expect(await appIds()).toEqual(["public"]);
  });

  it("accept IDs of all letters, digits and hyphens, up to 64 characters", async () => {
    for (const appId of ["a", "0", "-", "a-b-0", "x".repeat(64)]) {
      expect((await create({ appId })).json).toEqual({ status: "OK", createdNew: true });
      expect((await core.post({}, { path: `/appid-${appId}/recipe/jwt` })).status).toBe(200);
      expect((await remove({ appId })).json).toEqual({ status: "OK", didExist: true });
    }
  });

  const bad: [string, string][] = [
    ["", "appId should not be an empty String"],
    ["  ", "appId should not be an empty String"],
    ["appid-", "appId must not start with 'appid-'"],
    ["appid-shop", "appId must not start with 'appid-'"],
    ["APPID-shop", "appId must not start with 'appid-'"],
    ...[
      "a b",
      "a_b",
      "a.b",
      "a/b",
      "../a",
      "ä",
      "a\0",
      "a\nb",
      "a;drop table apps",
      "%61",
      "田",
      "<b>",
      "'",
      "a:b",
    ].map((appId): [string, string] => [appId, "appId can only contain letters, numbers and hyphens"]),
    ["x".repeat(65), "appId must not be longer than 64 characters"],
  ];
  for (const [appId, message] of bad) {
    it(`reject the ID ${JSON.stringify(appId).slice(0, 40)} (H8, H9)`, async () => {
      expectText(await create({ appId }), 400, message);
      expect(await appIds()).toEqual(["public"]);
      expect((await remove({ appId })).json).toEqual({ status: "OK", didExist: false });
    });
  }

  for (const appId of [undefined, null, 1, {}, ["shop"], true]) {
    it(`reject the ID ${JSON.stringify(appId)}, which is not a string`, async () => {
      expectText(await create({ appId }), 400, "Field name 'appId' is invalid in JSON input");
      expectText(await remove({ appId }), 400, "Field name 'appId' is invalid in JSON input");
    });
  }

  it("do not include the default app for removal", async () => {
    for (const appId of ["public", "PUBLIC", " public "]) {
      const answer = await remove({ appId });
      expect([answer.status, answer.headers.get("content-type")]).toEqual([403, "text/plain; charset=utf-8"]);
    }
    expect((await core.post()).status).toBe(200);
    expect((await create({ appId: "public" })).json).toEqual({ status: "OK", createdNew: false });
  });

  it("are created once by many concurrent callers", async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => create({ appId: "rush" })));
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
    expect(answers.filter((answer) => answer.json["createdNew"] === true)).toHaveLength(1);
    const statics = (await core.keys("/appid-rush")).filter((key) => key.kid.startsWith("s-"));
    expect(statics).toHaveLength(1);
    await remove({ appId: "rush" });
  });
});

describe("two apps", () => {
  beforeAll(async () => {
    for (const appId of ["one", "two"]) await create({ appId });
    for (const app of ["/appid-one", "/appid-two"]) {
      await vi.waitFor(async () => expect(await core.keys(app)).toHaveLength(3), { timeout: 10_000, interval: 20 });
    }
  });

  const jwksOf = async (prefix: string) =>
    createLocalJWKSet({ keys: await core.keys(prefix) } as unknown as JSONWebKeySet);
  const prefixes = ["", "/appid-one", "/appid-two"];

  it("share no keys, and tokens verify in their own app only (K2, S2)", async () => {
    const kids = (await Promise.all(prefixes.map((prefix) => core.keys(prefix)))).flat().map((key) => key.kid);
    expect(new Set(kids).size).toBe(9);
    for (const useStaticSigningKey of [true, false]) {
      for (const own of prefixes) {
        const jwt = await core.mint({ useStaticSigningKey }, { path: `${own}/recipe/jwt` });
        for (const prefix of prefixes) {
          const verified = jwtVerify(jwt, await jwksOf(prefix)).then(
            () => true,
            () => false,
          );
          expect(await verified).toBe(prefix === own);
        }
      }
    }
  });

  it("also in the deprecated set, in the full set, and by the tenant's path", async () => {
    for (const prefix of ["/appid-one", "/appid-one/public", "/appid-ONE"]) {
      const keys = await core.keys("/appid-one");
      expect((await core.call(`${prefix}/recipe/jwt/jwks`)).json).toEqual({ status: "OK", keys });
      const { keys: all } = (await core.call(`${prefix}/.well-known/jwks-all.json`)).json as {
        keys: { kty: string }[];
      };
      expect(all.filter(({ kty }) => kty === "RSA")).toEqual(keys);
      expect(all).toHaveLength(2 * keys.length); // ES256 and RS256
    }
  });

  it("do not manage apps: the default one does", async () => {
    expect((await create({ appId: "three" }, "/appid-one")).status).toBe(403);
    expect((await remove({ appId: "two" }, "/appid-one")).status).toBe(403);
    expect(await appIds()).toEqual(["one", "public", "two"]);
  });

  it("end separately: a removed app has no tokens or key set, and a new app of the same name has new keys", async () => {
    const jwt = await core.mint({}, { path: "/appid-two/recipe/jwt" });
    const kid = partsOf(jwt).header["kid"];
    await remove({ appId: "two" });
    const gone = await core.call("/appid-two/.well-known/jwks.json", { apiKey: null });
    expect([gone.status, gone.text]).toEqual([400, expect.stringMatching(/^AppId or tenantId not found => /)]);
    expect((await core.post({}, { path: "/appid-two/recipe/jwt", apiKey: API_KEY })).status).toBe(400);
    expect((await core.post({}, { path: "/appid-one/recipe/jwt" })).status).toBe(200);

    await create({ appId: "two" });
    expect((await core.keys("/appid-two")).map((key) => key.kid)).not.toContain(kid);
    await expect(jwtVerify(jwt, await jwksOf("/appid-two"))).rejects.toThrow();
  });
});
