import { beforeAll, describe, expect, it } from "vitest";
import { API_KEY, expectText, startTestCore, type TestCore } from "../../support/core.ts";
import { rawRequest, sendRaw } from "../../support/raw-http.ts";

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore();
});

describe("hello", () => {
  for (const path of [
    "/hello",
    "/",
    "/public/hello",
    "/appid-public/hello",
    "/appid-public",
    "/appid-public/public/",
  ]) {
    it(`responds to any method on ${path} without a key`, async () => {
      for (const method of ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
        expectText(await core.call(path, { method, apiKey: null }), 200, "Hello");
      }
    });
  }

  it("responds with an invalid key, too: it needs none", async () => {
    expectText(await core.call("/hello", { apiKey: "wrong" }), 200, "Hello");
  });

  it("responds to HEAD without a body", async () => {
    const answer = await core.call("/hello", { method: "HEAD", apiKey: null });
    expect([answer.status, answer.text]).toEqual([200, ""]);
  });
});

describe("apiversion", () => {
  it("lists the versions exactly, oldest first", async () => {
    const answer = await core.call("/apiversion?websiteDomain=https%3A%2F%2Fw.test&apiDomain=https%3A%2F%2Fa.test");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    expect(answer.json).toEqual({
      versions: [
        "2.7",
        "2.8",
        "2.9",
        "2.10",
        "2.11",
        "2.12",
        "2.13",
        "2.14",
        "2.15",
        "2.16",
        "2.17",
        "2.18",
        "2.19",
        "2.20",
        "2.21",
        "3.0",
        "3.1",
        "4.0",
        "5.0",
        "5.1",
        "5.2",
        "5.3",
        "5.4",
        "5.5",
        "5.6",
      ],
    });
  });

  it("requires a key", async () => {
    expectText(await core.call("/apiversion", { apiKey: null }), 401, "Invalid API key");
  });
});

describe("methods and unknown paths", () => {
  const known = {
    "/apiversion": "GET",
    "/recipe/jwt": "POST",
    "/recipe/jwt/jwks": "GET",
    "/recipe/multitenancy/app/v2": "PUT",
    "/recipe/multitenancy/app/list/v2": "GET",
    "/recipe/multitenancy/app/remove": "POST",
  };
  for (const [path, own] of Object.entries(known)) {
    it(`responds with 405 to every other method on ${path}, but 401 without a key`, async () => {
      for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].filter((one) => one !== own)) {
        expectText(await core.call(path, { method }), 405, "Method not supported");
        expectText(await core.call(path, { method, apiKey: null }), 401, "Invalid API key");
      }
    });
  }

  it("responds with 405 to writing a key set", async () => {
    for (const path of ["/.well-known/jwks.json", "/.well-known/jwks-all.json"]) {
      expectText(await core.call(path, { method: "POST", apiKey: null }), 405, "Method not supported");
    }
  });

  for (const path of [
    "/nothing",
    "/recipe",
    "/recipe/jwt/",
    "/recipe/jwt/other",
    "/Recipe/JWT",
    "/hello/x",
    "/ghost",
    "/ghost/",
    "/recipe/session",
    "/recipe/multitenancy/app",
    "/admin",
    "/admin/v2/status",
    "/.well-known",
  ]) {
    it(`responds with 404 on ${path}, but 401 without a key`, async () => {
      expectText(await core.call(path), 404, "Not found");
      expectText(await core.call(path, { method: "POST", body: {} }), 404, "Not found");
      expectText(await core.call(path, { apiKey: null }), 401, "Invalid API key");
    });
  }

  it("responds with 404 on an unknown document below .well-known without a key", async () => {
    expectText(await core.call("/.well-known/nothing", { apiKey: null }), 404, "Not found");
  });

  it("treats TRACE as any other method, and does not echo the request (H9)", async () => {
    const withKey = await sendRaw(core.port, rawRequest("TRACE /recipe/jwt", [`api-key: ${API_KEY}`]));
    expect([withKey.status, withKey.body]).toEqual([405, "Method not supported"]);
    const without = await sendRaw(core.port, rawRequest("TRACE /recipe/jwt"));
    expect([without.status, without.body]).toEqual([401, "Invalid API key"]);
  });

  it("is not a proxy: it closes CONNECT, and responds to an unknown method with 400 without a body", async () => {
    const connect = await sendRaw(core.port, rawRequest("CONNECT 127.0.0.1:80", [`api-key: ${API_KEY}`]));
    expect([connect.status, connect.body]).toEqual([NaN, ""]);
    const unknown = await sendRaw(core.port, rawRequest("JEFF /hello"));
    expect([unknown.status, unknown.body]).toEqual([400, ""]);
  });
});

describe("the deprecated key set", () => {
  it("has the keys of the public one and a status, and requires a key", async () => {
    const answer = await core.call("/recipe/jwt/jwks");
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({ status: "OK", keys: await core.keys() });
    expectText(await core.call("/recipe/jwt/jwks", { apiKey: null }), 401, "Invalid API key");
  });
});

describe("apps and tenants in the path", () => {
  it("issues tokens for the default app with every spelling of its path", async () => {
    for (const prefix of ["", "/public", "/PUBLIC", "/appid-public", "/appid-PUBLIC", "/appid-public/public"]) {
      expect((await core.post({}, { path: `${prefix}/recipe/jwt` })).status).toBe(200);
    }
  });

  it("rejects any other tenant: 403, and 404 for versions before 3.0", async () => {
    const words = "Only public tenantId can call this app specific API";
    for (const path of ["/t1/recipe/jwt", "/appid-public/t1/recipe/jwt"]) {
      expectText(await core.post({}, { path }), 403, words);
      for (const version of ["3.0", "3.1", "4.0", "5.6"]) {
        expectText(await core.post({}, { path, headers: { "cdi-version": version } }), 403, words);
      }
      for (const version of ["2.7", "2.10", "2.21"]) {
        expectText(await core.post({}, { path, headers: { "cdi-version": version } }), 404, "Not found");
      }
    }
    expectText(await core.call("/t1/.well-known/jwks.json", { apiKey: null }), 403, words);
    expectText(await core.call("/t1/hello", { apiKey: null }), 403, words);
  });

  it("reports an unknown app on public routes, and on other routes only with a key (H7)", async () => {
    for (const path of [
      "/appid-ghost/.well-known/jwks.json",
      "/appid-ghost/.well-known/jwks-all.json",
      "/appid-ghost/hello",
    ]) {
      const answer = await core.call(path, { apiKey: null });
      expect(answer.status).toBe(400);
      expect(answer.text).toMatch(/^AppId or tenantId not found => /);
      expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    }
    const authenticated = await core.post({}, { path: "/appid-ghost/recipe/jwt" });
    expect(authenticated.status).toBe(400);
    expect(authenticated.text).toMatch(/^AppId or tenantId not found => /);
    expect(authenticated.text).not.toContain("ghost"); // H9
    expectText(await core.post({}, { path: "/appid-ghost/recipe/jwt", apiKey: null }), 401, "Invalid API key");
  });
});

describe("cdi-version", () => {
  const supported = ["2.7", "2.9", "2.10", "2.21", "3.0", "3.1", "4.0", "5.0", "5.4", "5.6"];
  it("accepts every version of the list, and a missing header", async () => {
    for (const version of supported) {
      expect((await core.post({}, { headers: { "cdi-version": version } })).status).toBe(200);
    }
    expect((await core.post()).status).toBe(200);
  });

  for (const version of ["2.6", "2.22", "3.2", "4.1", "5.7", "6.0", "0.0", "02.7", "5.06", "9999.9999"]) {
    it(`rejects ${version}: not supported`, async () => {
      const answer = await core.call("/apiversion", { headers: { "cdi-version": version } });
      expectText(answer, 400, `cdi-version ${version} not supported`);
    });
  }

  for (const version of [
    "",
    "5",
    "5.",
    ".5",
    "5.4.1",
    "v5.4",
    "latest",
    "5,4",
    "5.4 5.3",
    "-5.4",
    "<b>5.4</b>",
    "5.4e0",
  ]) {
    it(`rejects ${JSON.stringify(version)}: not a version (H9)`, async () => {
      const answer = await core.call("/apiversion", { headers: { "cdi-version": version } });
      expectText(answer, 400, "cdi-version header is invalid");
    });
  }

  it("rejects two of them", async () => {
    const lines = [`api-key: ${API_KEY}`, "cdi-version: 5.4", "cdi-version: 2.7"];
    const answer = await sendRaw(core.port, rawRequest("GET /apiversion", lines));
    expect([answer.status, answer.body]).toEqual([400, "cdi-version header is invalid"]);
  });

  it("accepts and ignores any rid", async () => {
    for (const rid of ["jwt", "session", "", "<b>"]) {
      expect((await core.post({}, { headers: { rid } })).status).toBe(200);
    }
  });
});
