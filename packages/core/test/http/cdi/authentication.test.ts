import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fakeClock } from "../../support/clock.ts";
import { ADMIN_KEY, API_KEY, expectText, OTHER_API_KEY, startTestCore, type TestCore } from "../../support/core.ts";
import { recordedLog } from "../../support/log.ts";
import { rawRequest, sendRaw } from "../../support/raw-http.ts";

const log = recordedLog();
const clock = fakeClock();
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ maxRingAge: 1e15 }, { log, clock });
});
beforeEach(() => clock.advance(60_000)); // no address is throttled

const versions = (headers: Record<string, string>) => core.call("/apiversion", { apiKey: null, headers });
const rawVersions = (...lines: string[]) => sendRaw(core.port, rawRequest("GET /apiversion", lines));

describe("the API key", () => {
  for (const [what, headers] of [
    ["api-key: K", { "api-key": API_KEY }],
    ["api-key: the second configured one", { "api-key": OTHER_API_KEY }],
    ["Authorization: Bearer K", { authorization: `Bearer ${API_KEY}` }],
    ["Authorization: bearer K", { authorization: `bearer ${API_KEY}` }],
    ["Authorization: K", { authorization: API_KEY }],
    ["surrounding spaces, which are not part of the value", { "api-key": `  ${API_KEY}\t` }],
  ] as [string, Record<string, string>][]) {
    it(`is accepted as ${what}`, async () => {
      expect((await versions(headers)).status).toBe(200);
    });
  }

  const wrong: [string, Record<string, string>][] = [
    ["is missing", {}],
    ["is empty", { "api-key": "" }],
    ["is an unknown key", { "api-key": "wrong-key-wrong-key-wrong" }],
    ["has another case", { "api-key": API_KEY.toUpperCase() }],
    ["is a part of the key", { "api-key": API_KEY.slice(0, -1) }],
    ["is longer", { "api-key": `${API_KEY}1` }],
    ["is a list of all keys", { "api-key": `${API_KEY},${OTHER_API_KEY}` }],
    ["is a megaword", { "api-key": "k".repeat(8_000) }],
    ["comes with two spaces", { authorization: `Bearer  ${API_KEY}` }],
    ["comes with another scheme", { authorization: `Basic ${API_KEY}` }],
    ["comes as basic credentials", { authorization: `Basic ${Buffer.from(`:${API_KEY}`).toString("base64")}` }],
    ["is only a scheme", { authorization: "Bearer" }],
    ["comes in a cookie (H3)", { cookie: `api-key=${API_KEY}` }],
    ["comes in another header", { "x-api-key": API_KEY }],
    ["is the admin key, which cannot issue tokens (S2)", { "api-key": ADMIN_KEY }],
  ];
  for (const [what, headers] of wrong) {
    it(`is rejected if it ${what}: 401, with the same text (S1)`, async () => {
      expectText(await versions(headers), 401, "Invalid API key");
    });
  }

  it("in the query or the body is ignored (H3)", async () => {
    const path = `/recipe/jwt?api-key=${API_KEY}&access_token=${API_KEY}`;
    const answer = await core.post({ "api-key": API_KEY }, { path, apiKey: null });
    expectText(answer, 401, "Invalid API key");
  });

  it("in api-key takes precedence over Authorization, right or wrong (H1)", async () => {
    const good = `Bearer ${API_KEY}`;
    expect((await versions({ "api-key": API_KEY, authorization: "Bearer wrong" })).status).toBe(200);
    expectText(await versions({ "api-key": "wrong", authorization: good }), 401, "Invalid API key");
    expectText(await versions({ "api-key": "", authorization: good }), 401, "Invalid API key");
  });

  for (const [what, lines] of [
    ["api-key", [`api-key: ${API_KEY}`, `api-key: ${API_KEY}`]],
    ["api-key", [`api-key: ${API_KEY}`, "Api-Key: wrong"]],
    ["api-key", ["api-key: wrong", `API-KEY: ${API_KEY}`]],
    ["authorization", [`Authorization: Bearer ${API_KEY}`, `Authorization: Bearer ${API_KEY}`]],
    ["authorization", [`Authorization: Bearer ${API_KEY}`, "authorization: Bearer wrong"]],
    ["authorization", [`api-key: ${API_KEY}`, "authorization: a", "Authorization: b"]],
    ["api-key", [`api-key: ${API_KEY}`, ...Array.from({ length: 1_100 }, () => "a:1"), "api-key: wrong"]],
  ] as [string, string[]][]) {
    it(`is rejected if the header occurs twice: ${lines.length > 3 ? "behind 1,100 others" : lines.map((line) => line.slice(0, 20)).join(" + ")} (H1)`, async () => {
      const answer = await rawVersions(...lines);
      expect([answer.status, answer.body]).toEqual([400, `The header ${what} was sent more than once`]);
      const admin = await sendRaw(core.port, rawRequest("GET /admin/v1/status", lines));
      const error = { code: "invalid", message: `The header ${what} was sent more than once` };
      expect([admin.status, JSON.parse(admin.body)]).toEqual([400, { error }]);
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    });
  }

  it("is checked before paths, methods, versions, tenants, apps and bodies (H7)", async () => {
    const requests: [string, string, Record<string, string>][] = [
      ["GET", "/nothing", {}],
      ["DELETE", "/recipe/jwt", {}],
      ["POST", "/recipe/jwt", { "cdi-version": "nonsense" }],
      ["POST", "/t1/recipe/jwt", {}],
      ["POST", "/appid-ghost/recipe/jwt", {}],
      ["POST", "/appid-ghost/t1/recipe/jwt", { "cdi-version": "2.7" }],
      ["GET", "/recipe/multitenancy/app/list/v2", {}],
    ];
    for (const [method, path, headers] of requests) {
      for (const key of [null, "wrong-key-wrong-key-wrong"]) {
        const body = method === "POST" ? { body: "not json" } : {};
        expectText(await core.call(path, { method, apiKey: key, headers, ...body }), 401, "Invalid API key");
      }
    }
  });

  it("S1 can be guessed ten times a minute per address; a valid key is never throttled", async () => {
    const guess = () => versions({ "api-key": "wrong-key-wrong-key-wrong" });
    for (let i = 0; i < 10; i++) expectText(await guess(), 401, "Invalid API key");
    const waiting = await guess();
    expectText(waiting, 429, "Too many requests with an invalid key; retry later");
    expect(waiting.headers.get("retry-after")).toBe("60");
    const admin = await core.call("/admin/v1/status", { apiKey: "wrong-key-wrong-key-wrong" });
    expect([admin.status, admin.headers.get("retry-after")]).toEqual([429, "60"]);
    expect(admin.json).toEqual({ error: { code: "too_many_requests", message: waiting.text } });

    expect((await versions({ "api-key": API_KEY })).status).toBe(200);
    expect((await core.call("/admin/v1/status", { apiKey: ADMIN_KEY })).status).toBe(200);
    expectText(await versions({}), 401, "Invalid API key"); // not a guess
    expect((await core.call("/hello", { apiKey: "wrong-key-wrong-key-wrong" })).status).toBe(200); // no credential, so not a guess

    clock.advance(30_000);
    expect((await guess()).headers.get("retry-after")).toBe("30");
    clock.advance(30_000);
    expectText(await guess(), 401, "Invalid API key");
  });

  it("S1 guesses of the admin key are limited on a core without an API key too", async () => {
    const open = await startTestCore({ apiKeys: [] });
    const status = (apiKey: string | null) => open.call("/admin/v1/status", { apiKey });
    for (let i = 0; i < 10; i++) expect((await status("wrong-key-wrong-key-wrong")).status).toBe(401);
    expect((await status("wrong-key-wrong-key-wrong")).status).toBe(429);
    expect((await status(null)).status).toBe(401); // no guess
    expect((await status(ADMIN_KEY)).status).toBe(200);
  });

  it("never appears in the log, valid or invalid (S6)", () => {
    const text = log.lines.join("\n");
    expect(text).toContain("signing key created"); // The log is not empty.
    for (const key of [API_KEY, OTHER_API_KEY, ADMIN_KEY, "wrong-key-wrong-key-wrong"]) expect(text).not.toContain(key);
  });
});

describe("the admin key", () => {
  it("grants access to the admin API, in either header; an API key does not (S2)", async () => {
    const status = (headers: Record<string, string>) => core.call("/admin/v1/status", { apiKey: null, headers });
    for (const headers of [{ "api-key": ADMIN_KEY }, { authorization: `Bearer ${ADMIN_KEY}` }]) {
      const answer = await status(headers);
      expect(answer.status).toBe(200);
      expect(answer.json).toEqual({
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
        epoch: expect.any(Number),
        generation: 1,
        apps: 1,
      });
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    }
    for (const headers of [{}, { "api-key": API_KEY }, { "api-key": "wrong" }]) {
      const answer = await status(headers);
      expect([answer.status, answer.json]).toEqual([
        401,
        { error: { code: "unauthorized", message: expect.any(String) } },
      ]);
      expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    }
  });

  it("gets 404 for unknown resources, an API key 401", async () => {
    const unknown = (apiKey: string) => core.call("/admin/v1/nothing", { apiKey });
    expect((await unknown(ADMIN_KEY)).json).toEqual({ error: { code: "not_found", message: expect.any(String) } });
    expect((await unknown(ADMIN_KEY)).status).toBe(404);
    expect((await unknown(API_KEY)).status).toBe(401);
  });

  it("grants no access to the routes of the API key (S2)", async () => {
    expectText(await core.post({}, { apiKey: ADMIN_KEY }), 401, "Invalid API key");
    expectText(await core.call("/recipe/jwt/jwks", { apiKey: ADMIN_KEY }), 401, "Invalid API key");
    expectText(await core.call("/apiversion", { apiKey: ADMIN_KEY }), 401, "Invalid API key");
  });

  it("manages apps if one is configured; the API key then cannot (S2)", async () => {
    const routes: [string, string][] = [
      ["PUT", "/recipe/multitenancy/app/v2"],
      ["GET", "/recipe/multitenancy/app/list/v2"],
      ["POST", "/recipe/multitenancy/app/remove"],
    ];
    for (const [method, path] of routes) {
      const body = method === "GET" ? {} : { body: { appId: "public" } };
      const refused = await core.call(path, { method, ...body });
      expectText(refused, 403, "Managing apps needs an admin key");
      const allowed = await core.call(path, { method, apiKey: ADMIN_KEY, ...body });
      expect(allowed.text).not.toContain("admin key");
    }
    const list = await core.call("/recipe/multitenancy/app/list/v2", { apiKey: ADMIN_KEY });
    expect(list.json).toEqual({ status: "OK", apps: [{ appId: "public" }] });
  });
});

const LOCAL_ONLY = "Without an API key, the core accepts only local programs that use a loopback address";

describe("without an API key", () => {
  let open: TestCore;
  beforeAll(async () => {
    open = await startTestCore({ apiKeys: [], adminKeys: [] });
  });

  it("loopback callers are accepted with any key", async () => {
    for (const apiKey of [null, "anything"]) expect((await open.post({}, { apiKey })).status).toBe(200);
  });

  for (const host of ["127.0.0.1", "127.0.0.1:3567", "127.8.9.1", "localhost", "LOCALHOST:80", "[::1]", "[::1]:3567"]) {
    it(`a request for ${host} is accepted`, async () => {
      const answer = await sendRaw(open.port, rawRequest("GET /apiversion", [`Host: ${host}`]));
      expect(answer.status).toBe(200);
    });
  }

  for (const host of [
    "evil.test",
    "evil.test:3567",
    "127.0.0.1.evil.test",
    "localhost.evil.test",
    "10.0.0.1",
    "[::2]",
  ]) {
    it(`a request for ${host} is rejected: a web page that resolved its own name to this machine (S7)`, async () => {
      const answer = await sendRaw(open.port, rawRequest("GET /apiversion", [`Host: ${host}`]));
      expect([answer.status, answer.body]).toEqual([401, LOCAL_ONLY]);
      const mint = rawRequest("POST /recipe/jwt", [`Host: ${host}`, "Content-Length: 2"], "{}");
      expect((await sendRaw(open.port, mint)).status).toBe(401);
    });
  }

  for (const origin of ["https://evil.test", "http://localhost:3000", "null"]) {
    it(`a request from a page of ${origin} is rejected: any page can send requests to this machine (S7)`, async () => {
      const lines = ["Host: 127.0.0.1", `Origin: ${origin}`];
      const read = await sendRaw(open.port, rawRequest("GET /apiversion", lines));
      expect([read.status, read.body]).toEqual([401, LOCAL_ONLY]);
      const app = { method: "PUT", apiKey: null, headers: { origin }, body: { appId: "evil" } };
      expectText(await open.call("/recipe/multitenancy/app/v2", app), 401, LOCAL_ONLY);
      expect((await open.call("/.well-known/jwks.json", { apiKey: null, headers: { origin } })).status).toBe(200);
      expect((await core.call("/apiversion", { headers: { origin } })).status).toBe(200); // With an API key, only the key matters.
    });
  }

  it("a request without a Host, or with a malformed one, is rejected", async () => {
    for (const host of ["", "a b", "evil.test/", "127.0.0.1@evil.test"]) {
      const answer = await sendRaw(open.port, rawRequest("GET /apiversion", [`Host: ${host}`]));
      expect([400, 401]).toContain(answer.status);
    }
    const none = await sendRaw(open.port, "GET /apiversion HTTP/1.1\r\nConnection: close\r\n\r\n");
    expect(none.status).toBe(400);
  });

  it("the admin API stays closed (S7)", async () => {
    for (const apiKey of [null, "anything-at-all-anything"]) {
      expect((await open.call("/admin/v1/status", { apiKey })).status).toBe(401);
    }
  });

  it("with a configured key, every Host is accepted", async () => {
    const lines = ["Host: core.internal.test", `api-key: ${API_KEY}`];
    expect((await rawVersions(...lines)).status).toBe(200);
  });
});

describe("with an admin key only", () => {
  it("unauthenticated loopback clients can request tokens, but not manage apps (S2, S7)", async () => {
    const open = await startTestCore({ apiKeys: [] });
    expect((await open.post({}, { apiKey: null })).status).toBe(200);
    const list = "/recipe/multitenancy/app/list/v2";
    expectText(await open.call(list, { apiKey: null }), 403, "Managing apps needs an admin key");
    expect((await open.call(list, { apiKey: ADMIN_KEY })).status).toBe(200);
  });
});
