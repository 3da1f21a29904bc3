// The metadata of an app (RFC 8414), at both well-known paths.
import { beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, startTestCore, type TestCore } from "../../support/core.ts";

const OAUTH = "/.well-known/oauth-authorization-server";
const OPENID = "/.well-known/openid-configuration";

let core: TestCore;
let proxied: TestCore;
beforeAll(async () => {
  core = await startTestCore();
  proxied = await startTestCore({ publicUrl: "https://example.com/auth/" });
  for (const one of [core, proxied]) {
    await one.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a1" } });
  }
});
const read = (path: string, from = core) => from.call(path, { apiKey: null });

describe("the metadata", () => {
  it("names the endpoints below the issuer, and every way to use them", async () => {
    const answer = await read(OAUTH);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      issuer: core.url,
      token_endpoint: `${core.url}/oauth/token`,
      jwks_uri: `${core.url}/.well-known/jwks-all.json`,
      grant_types_supported: ["client_credentials"],
      response_types_supported: [],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256", "ES256"],
    });
    expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(answer.headers.get("cache-control")).toBe("max-age=60, public");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*"); // K11
    for (const [name, value] of Object.entries(answer.json)) {
      if (!name.endsWith("_endpoint") && name !== "jwks_uri") continue;
      const method = name === "jwks_uri" ? "GET" : "POST";
      expect([200, 400]).toContain(
        (await core.call(new URL(value as string).pathname, { method, apiKey: null })).status,
      );
    }
  });

  it("of an app is found after its issuer, and with the well-known name before its path", async () => {
    for (const name of [OAUTH, OPENID]) {
      const own = await read(`/appid-a1${name}`);
      expect(own.json["issuer"]).toBe(`${core.url}/appid-a1`);
      expect(own.json["token_endpoint"]).toBe(`${core.url}/appid-a1/oauth/token`);
      expect((await read(`${name}/appid-a1`)).text).toBe(own.text);
      expect((await read(name)).json["issuer"]).toBe(core.url);
    }
  });

  it("of a core whose public URL has a path is found before that path, too", async () => {
    const issuer = "https://example.com/auth";
    for (const name of [OAUTH, OPENID]) {
      for (const [app, path] of [
        ["", ""],
        ["/appid-a1", "/appid-a1"],
      ] as const) {
        for (const address of [`${app}${name}`, `${name}/auth${path}`]) {
          expect((await read(address, proxied)).json["issuer"]).toBe(issuer + app);
        }
      }
      // Every issuer URL of this core has a path, so this path belongs to no app.
      expect((await read(`${name}/appid-a1`, proxied)).status).not.toBe(200);
      expect((await read(`${name}/authentic`, proxied)).status).not.toBe(200);
    }
  });

  it("K6 does not depend on the request's Host header", async () => {
    const answer = await core.call(OAUTH, { apiKey: null, headers: { "x-forwarded-host": "evil.test" } });
    expect(answer.json["issuer"]).toBe(core.url);
  });

  it("H7 of an unknown app is rejected in the same way as its key set", async () => {
    for (const path of [`/appid-ghost${OAUTH}`, `${OAUTH}/appid-ghost`, `${OAUTH}/appid-ghost/..%2f`]) {
      const answer = await read(path);
      expect([400, 401, 403]).toContain(answer.status);
      expect(answer.text).not.toContain("ghost");
    }
  });
});
