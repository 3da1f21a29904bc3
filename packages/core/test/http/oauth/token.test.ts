// The token endpoint with a service credential: its tokens, and every reason to reject a request.
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fakeClock, NEW_YEAR } from "../../support/clock.ts";
import { ADMIN_KEY, API_KEY, partsOf, startTestCore, type Answer } from "../../support/core.ts";
import { basic, formOf, startOAuthCore, type FormFields, type OAuthCore } from "../../support/oauth.ts";
import { rawRequest, sendRaw } from "../../support/raw-http.ts";
import { callServices, newCredential } from "../../support/services.ts";

const clock = fakeClock();
let core: OAuthCore;
beforeAll(async () => {
  core = await startOAuthCore({ maxRingAge: 1e15 }, { clock });
});
beforeEach(() => clock.advance(60_000)); // no address is throttled

const GRANT = { grant_type: "client_credentials", audience: "inventory" };
const own = () => ({ client_id: "orders", client_secret: core.credentials["orders"] });
const ask = (form: FormFields, headers?: Record<string, string>) => core.postForm("/oauth/token", form, headers);
const askAsOrders = (form: FormFields) => ask({ ...GRANT, ...own(), ...form });

/** Expects an error of RFC 6749 section 5.2 that no cache stores. */
function expectRefused(answer: Answer, status: number, error: string, description?: string): void {
  expect([answer.status, answer.json["error"]]).toEqual([status, error]);
  expect(Object.keys(answer.json)).toEqual(["error", "error_description"]);
  expect(answer.json["error_description"]).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
  if (description !== undefined) expect(answer.json["error_description"]).toBe(description);
  expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
  expectNotKept(answer);
}

function expectNotKept({ headers }: Answer): void {
  expect([headers.get("cache-control"), headers.get("pragma")]).toEqual(["no-store", "no-cache"]);
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("access-control-allow-origin")).toBeNull();
}

describe("an access token", () => {
  it("follows RFC 9068, is signed with ES256 by default, and expires after ten minutes", async () => {
    const answer = await askAsOrders({ scope: "stock:read" });
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      access_token: expect.any(String),
      token_type: "Bearer",
      expires_in: 600,
      scope: "stock:read",
    });
    expectNotKept(answer);
    const now = Math.floor(clock.now() / 1000);
    const jwt = answer.json["access_token"] as string;
    expect(partsOf(jwt)).toEqual({
      header: { alg: "ES256", typ: "at+jwt", kid: expect.stringMatching(/^d-/) },
      claims: {
        iss: core.url,
        sub: "orders",
        client_id: "orders",
        aud: "inventory",
        scope: "stock:read",
        source: "microservice",
        iat: now,
        exp: now + 600,
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      },
    });
    const keySet = (await core.call("/.well-known/jwks-all.json")).json as unknown as JSONWebKeySet;
    await jwtVerify(jwt, createLocalJWKSet(keySet), { currentDate: new Date(clock.now()), typ: "at+jwt" });
  });

  it("has all scopes of the call by default", async () => {
    expect((await askAsOrders({})).json["scope"]).toBe("stock:read stock:reserve");
    expect((await askAsOrders({ scope: "" })).json["scope"]).toBe("stock:read stock:reserve"); // as if left out
  });

  it("is for the only service the caller can call, or for the one in resource (RFC 8707)", async () => {
    const billing = { client_id: "billing", client_secret: core.credentials["billing"], audience: undefined };
    const audienceOf = async (form: FormFields) =>
      partsOf((await ask({ ...GRANT, ...form })).json["access_token"] as string).claims["aud"];
    expect(await audienceOf(billing)).toBe("inventory");
    expect(await audienceOf({ ...own(), audience: undefined, resource: "billing" })).toBe("billing");
    expect(await audienceOf({ ...own(), audience: "billing", resource: "billing" })).toBe("billing");
    const resource = `${core.url}/services/billing`;
    expect(await audienceOf({ ...own(), audience: undefined, resource })).toBe("billing");
    expect(await audienceOf({ ...own(), audience: "billing", resource })).toBe("billing");
    for (const other of [
      `${core.url}/services/ghost`,
      `${core.url}/services/`,
      `${core.url}/billing`,
      `${resource}/`,
      "https://other.test/services/billing",
      `${core.url}/appid-a1/services/billing`,
    ]) {
      const answer = await ask({ ...GRANT, ...own(), audience: undefined, resource: other });
      expectRefused(answer, 400, "invalid_target");
    }
    expectRefused(await ask({ ...GRANT, ...own(), audience: "inventory", resource }), 400, "invalid_target");
  });

  it("can be requested with a secret in the header, encoded as in RFC 6749 section 2.3.1", async () => {
    const secret = core.credentials["orders"]!;
    for (const headers of [
      basic("orders", secret),
      { authorization: `basic ${Buffer.from(`orders:${secret}`).toString("base64")}` },
      { authorization: `Basic ${Buffer.from(`%6Frders:${secret.replaceAll("_", "%5f")}`).toString("base64")}` },
    ]) {
      for (const client_id of [undefined, "orders"]) {
        expect((await ask({ ...GRANT, client_id }, headers)).status).toBe(200);
      }
    }
  });

  it("of an app has the app's path in its issuer, and the app's own key", async () => {
    await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a1" } });
    const { credential } = await newCredential(core, "orders", { app: "a1" });
    const form = { grant_type: "client_credentials", client_id: "orders", client_secret: credential };
    for (const path of [
      "/appid-a1/oauth/token",
      "/APPID-A1/oauth/token".toLowerCase(),
      "/appid-a1/public/oauth/token",
    ]) {
      const { header, claims } = partsOf((await core.postForm(path, form)).json["access_token"] as string);
      expect(claims).toMatchObject({ iss: `${core.url}/appid-a1`, sub: "orders" });
      expect(claims).not.toHaveProperty("aud"); // no policy has been applied there
      expect((await core.call("/appid-a1/.well-known/jwks-all.json")).text).toContain(header["kid"]);
    }
    // S2: a credential of one app grants no access to the other.
    expectRefused(await ask(form), 401, "invalid_client");
    expectRefused(await core.postForm("/appid-a1/oauth/token", { ...form, ...own() }), 401, "invalid_client");
  });

  it("is signed with the app's own algorithm if that is not ES256, and has the public URL as issuer", async () => {
    const publicUrl = "https://auth.example.com/countersign/";
    const other = await startOAuthCore({ publicUrl, rotation: { algorithms: ["RS256"] } });
    const { header, claims } = partsOf(await other.accessToken());
    expect([header["alg"], header["typ"]]).toEqual(["RS256", "at+jwt"]);
    expect(claims["iss"]).toBe("https://auth.example.com/countersign");
    await other.close();
  });

  it("is also issued while the algorithms of its app change", async () => {
    const other = await startOAuthCore({ publicUrl: "https://a.test", rotation: { algorithms: ["RS256"] } });
    const changed = other.call("/admin/v1/apps/public/algorithms", {
      method: "PUT",
      apiKey: ADMIN_KEY,
      body: { algorithms: ["RS256", "ES256", "Ed25519"] },
    });
    const algorithms: unknown[] = [];
    let answer: Answer | undefined;
    do {
      algorithms.push(partsOf(await other.accessToken()).header["alg"]);
      answer = await Promise.race([changed, Promise.resolve(undefined)]);
    } while (answer === undefined);
    expect(answer.status).toBe(200);
    expect(algorithms[0]).toBe("RS256");
    expect(partsOf(await other.accessToken()).header["alg"]).toBe("ES256");
    await other.close();
  });
});

describe("S5 a client without authentication, or with two", () => {
  const none = "client authentication is missing";
  for (const [what, form, headers, status, error, description] of [
    ["nothing", {}, {}, 401, "invalid_client", none],
    ["its name only", { client_id: "orders" }, {}, 401, "invalid_client", none],
    ["a secret without a name", { client_secret: "SECRET" }, {}, 400, "invalid_request", "client_id is missing"],
    ["an empty secret", { client_id: "orders", client_secret: "" }, {}, 401, "invalid_client", none],
    ["an API key", {}, { "api-key": API_KEY }, 401, "invalid_client", none],
    ["an API key as its secret", { client_id: "orders", client_secret: API_KEY }, {}, 401, "invalid_client", undefined],
    [
      "an admin key as its secret",
      { client_id: "orders", client_secret: ADMIN_KEY },
      {},
      401,
      "invalid_client",
      undefined,
    ],
    ["a Bearer credential", {}, { authorization: "Bearer SECRET" }, 401, "invalid_client", undefined],
    [
      "both methods",
      { client_id: "orders", client_secret: "SECRET" },
      { authorization: "BASIC" },
      400,
      "invalid_request",
      undefined,
    ],
    ["an assertion without its type", { client_assertion: "a.b.c" }, {}, 400, "invalid_request", undefined],
    ["an assertion's type only", { client_assertion_type: "x" }, {}, 400, "invalid_request", undefined],
  ] as const) {
    it(`that sends ${what} is rejected with ${error}`, async () => {
      const secret = core.credentials["orders"]!;
      const fill = (fields: object) =>
        Object.fromEntries(
          Object.entries(fields).map(([name, value]: [string, string]) => [
            name,
            value === "BASIC" ? basic("orders", secret)["authorization"]! : value.replace("SECRET", secret),
          ]),
        );
      expectRefused(await ask({ ...GRANT, ...fill(form) }, fill(headers)), status, error, description);
    });
  }

  it("is required on loopback, too, without a configured API key", async () => {
    const open = await startTestCore({ apiKeys: [] });
    for (const fields of [{}, { client_id: "orders", client_secret: "x" }]) {
      const answer = await open.call("/oauth/token", {
        method: "POST",
        apiKey: null,
        body: formOf({ ...GRANT, ...fields }),
        headers: { "content-type": "application/x-www-form-urlencoded" },
      });
      expectRefused(answer, 401, "invalid_client");
    }
    await open.close();
  });

  it("that sends two Authorization headers is rejected, even if the first is valid (H1)", async () => {
    const { authorization } = basic("orders", core.credentials["orders"]!);
    const body = formOf(GRANT);
    const lines = [
      `authorization: ${authorization}`,
      "authorization: Basic eDp5",
      "content-type: application/x-www-form-urlencoded",
      `content-length: ${body.length}`,
    ];
    const answer = await sendRaw(core.port, rawRequest("POST /oauth/token", lines) + body);
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([400, { error: "invalid_request" }]);
  });
});

describe("a client that fails to authenticate", () => {
  const bad: [string, () => Promise<FormFields> | FormFields][] = [
    ["is unknown", () => ({ client_id: "ghost", client_secret: `cs_ghost_${"A".repeat(43)}` })],
    ["has a wrong secret", () => ({ client_id: "orders", client_secret: `cs_orders_${"A".repeat(43)}` })],
    ["has a changed secret", () => ({ ...own(), client_secret: own().client_secret!.slice(0, -1) })],
    ["has another service's secret", () => ({ client_id: "orders", client_secret: core.credentials["billing"] })],
    ["uses another client_id", () => ({ ...own(), client_id: "Orders" })],
    [
      "has a secret that has expired",
      async () => {
        const { credential } = await newCredential(core, "orders", { expiresAt: clock.now() + 1_000 });
        clock.advance(1_000);
        return { client_id: "orders", client_secret: credential };
      },
    ],
    [
      "is disabled",
      async () => {
        const { credential } = await newCredential(core, "off");
        await callServices(core, "/off/disable", {});
        return { client_id: "off", client_secret: credential };
      },
    ],
    [
      "was deleted",
      async () => {
        const { credential } = await newCredential(core, "gone");
        await callServices(core, "/gone/delete", {});
        return { client_id: "gone", client_secret: credential };
      },
    ],
  ];
  for (const [what, formOfBad] of bad) {
    it(`S1 ${what}: the same invalid_client response for both methods`, async () => {
      const form = await formOfBad();
      const posted = await ask({ ...GRANT, ...form });
      expectRefused(posted, 401, "invalid_client", "client authentication failed");
      expect(posted.headers.get("www-authenticate")).toBeNull();
      const header = await ask(GRANT, basic(form["client_id"] as string, form["client_secret"] as string));
      expectRefused(header, 401, "invalid_client", "client authentication failed");
      expect(header.headers.get("www-authenticate")).toBe('Basic realm="services"');
    });
  }

  for (const [what, authorization] of [
    ["another name in the body", undefined],
    ["no colon", "Basic eA=="],
    ["invalid base64", "Basic ???"],
    ["no value", "Basic "],
    ["a broken escape", `Basic ${Buffer.from("%zz:%").toString("base64")}`],
    ["bytes that are not UTF-8", `Basic ${Buffer.from("%ff:%ff").toString("base64")}`],
    ["another scheme", "Digest x"],
  ] as const) {
    it(`is rejected with ${what} next to or in its header`, async () => {
      const headers = authorization === undefined ? basic("orders", own().client_secret!) : { authorization };
      const client_id = authorization === undefined ? "billing" : undefined;
      const answer = await ask({ ...GRANT, client_id }, headers);
      expectRefused(answer, 401, "invalid_client", "client authentication failed");
      expect(answer.headers.get("www-authenticate")).toBe('Basic realm="services"');
    });
  }

  it("S1 is throttled after ten failures, but never with a valid secret", async () => {
    const wrong = () => ask({ ...GRANT, ...own(), client_secret: "cs_orders_x" });
    for (let i = 0; i < 10; i++) expect((await wrong()).status).toBe(401);
    const late = await wrong();
    expectRefused(late, 429, "invalid_client");
    expect(late.headers.get("retry-after")).toBe("60");
    expect((await ask(GRANT)).status).toBe(401); // a request without a secret is not a guess
    expect((await askAsOrders({})).status).toBe(200);
  });

  it("H7 learns nothing about apps and tenants", async () => {
    for (const path of ["/appid-ghost/oauth/token", "/tenant/oauth/token", "/appid-public/tenant/oauth/token"]) {
      const answer = await core.postForm(path, { ...GRANT, ...own() });
      expectRefused(answer, 401, "invalid_client", "client authentication failed");
    }
  });
});

describe("S3 a request beyond a client's registration", () => {
  for (const [what, form, error] of [
    ["no grant type", { grant_type: undefined }, "invalid_request"],
    ["the password grant", { grant_type: "password", username: "a", password: "b" }, "unsupported_grant_type"],
    ["the authorization code grant", { grant_type: "authorization_code", code: "x" }, "unsupported_grant_type"],
    ["the refresh token grant", { grant_type: "refresh_token", refresh_token: "x" }, "unsupported_grant_type"],
    [
      "the token exchange grant",
      { grant_type: "urn:ietf:params:oauth:grant-type:token-exchange" },
      "unsupported_grant_type",
    ],
    ["the grant in capitals", { grant_type: "CLIENT_CREDENTIALS" }, "unsupported_grant_type"],
    ["a callee that the policy does not allow", { audience: "idle" }, "invalid_target"],
    ["itself", { audience: "orders" }, "invalid_target"],
    ["an unknown callee", { audience: "ghost" }, "invalid_target"],
    ["a callee in capitals", { audience: "Inventory" }, "invalid_target"],
    ["a callee with a trailing NUL", { audience: "inventory\0" }, "invalid_target"],
    ["two callees in one", { audience: "inventory billing" }, "invalid_target"],
    ["an unsafe property name", { audience: "__proto__" }, "invalid_target"],
    ["no callee although two are allowed", { audience: undefined }, "invalid_request"],
    ["another resource than audience", { audience: "inventory", resource: "billing" }, "invalid_target"],
    ["two resources", { audience: undefined, resource: ["inventory", "billing"] }, "invalid_target"],
    ["one resource twice", { audience: undefined, resource: ["inventory", "inventory"] }, "invalid_target"],
    ["an unknown resource", { audience: undefined, resource: "https://inventory.example" }, "invalid_target"],
    ["another call's scope", { scope: "invoice:write" }, "invalid_scope"],
    ["one scope too many", { scope: "stock:read stock:delete" }, "invalid_scope"],
    ["a scope in capitals", { scope: "STOCK:READ" }, "invalid_scope"],
    ["a part of a scope", { scope: "stock" }, "invalid_scope"],
    ["all scopes at once", { scope: "*" }, "invalid_scope"],
    ["two spaces between scopes", { scope: "stock:read  stock:reserve" }, "invalid_scope"],
    ["only a space", { scope: " " }, "invalid_scope"],
    ["a tab between scopes", { scope: "stock:read\tstock:reserve" }, "invalid_scope"],
    ["a quote in a scope", { scope: 'stock:read"' }, "invalid_scope"],
    ["a scope of 129 characters", { scope: "a".repeat(129) }, "invalid_scope"],
  ] as [string, FormFields, string][]) {
    it(`is rejected: ${what} is ${error}`, async () => {
      expectRefused(await askAsOrders(form), 400, error);
    });
  }

  it("is rejected for a service without any allowed call, with every parameter", async () => {
    const idle = { client_id: "idle", client_secret: core.credentials["idle"] };
    expectRefused(await askAsOrders({ ...idle, audience: undefined }), 400, "invalid_request");
    expectRefused(await askAsOrders(idle), 400, "invalid_target");
  });

  it("C10 no other form parameter becomes a claim", async () => {
    const claimed = { sub: "billing", iss: "https://evil.test", source: "user", jti: "1", exp: "9999999999", act: "x" };
    const { claims } = partsOf((await askAsOrders(claimed)).json["access_token"] as string);
    expect(claims).toMatchObject({ sub: "orders", iss: core.url, source: "microservice" });
    expect(Object.keys(claims).sort()).toEqual(
      ["iss", "jti", "client_id", "sub", "source", "aud", "scope", "iat", "exp"].sort(),
    );
    expect(claims["jti"]).not.toBe("1");
    expect(claims["exp"]).toBe(Math.floor(clock.now() / 1000) + 600);
  });
});

describe("a body that is not a form", () => {
  const type = "application/x-www-form-urlencoded";
  for (const [what, body, contentType] of [
    ["JSON", JSON.stringify({ grant_type: "client_credentials" }), "application/json"],
    ["a form with the type of text", "FORM", "text/plain"],
    ["a multipart form", "FORM", "multipart/form-data; boundary=x"],
    ["with a similar type", "FORM", "application/x-www-form-urlencoded2"],
    ["with a parameter twice", "FORM&grant_type=client_credentials", type],
    ["with a secret twice", "FORM&client_secret=x", type],
    ["with an empty parameter twice", "FORM&x=&x=", type],
    ["with an audience twice", "FORM&audience=billing", type],
    ["with a broken escape", "FORM&x=%zz", type],
    ["with bytes that are not UTF-8", "FORM&x=%ff%fe", type],
    ["with bytes outside ASCII", Buffer.from("x=\u00fc&FORM", "latin1"), type],
    ["larger than 64 KiB", `FORM&x=${"x".repeat(65_536)}`, type],
  ] as [string, string | Buffer, string][]) {
    it(`${what} is rejected with invalid_request`, async () => {
      const form = formOf({ ...GRANT, ...own() });
      const sent = typeof body === "string" ? body.replace("FORM", form) : body;
      const headers = { "content-type": contentType };
      const answer = await core.call("/oauth/token", { method: "POST", apiKey: null, body: sent, headers });
      expectRefused(answer, 400, "invalid_request");
    });
  }

  it("can have its type in any case, with a charset", async () => {
    const headers = { "content-type": "Application/X-WWW-Form-URLEncoded; charset=UTF-8" };
    const body = formOf({ ...GRANT, ...own() });
    expect((await core.call("/oauth/token", { method: "POST", apiKey: null, body, headers })).status).toBe(200);
  });

  it("H3 parameters in the URL are ignored", async () => {
    const query = formOf({ ...GRANT, ...own() });
    expectRefused(await core.postForm(`/oauth/token?${query}`, GRANT), 401, "invalid_client");
  });

  it("requires POST", async () => {
    for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) {
      const answer = await core.call("/oauth/token", { method, apiKey: null });
      expectRefused(answer, 405, "invalid_request");
      expect(answer.headers.get("allow")).toBe("POST");
    }
  });
});

it("a core off loopback without a public URL rejects token requests with a clear error", async () => {
  const other = await startOAuthCore({ host: "0.0.0.0" });
  const form = { ...GRANT, client_id: "orders", client_secret: other.credentials["orders"] };
  const answer = await other.postForm("/oauth/token", form);
  expectRefused(answer, 500, "server_error", "this core has no --public-url");
  expect((await other.call("/.well-known/openid-configuration", { apiKey: null })).status).toBe(404);
  await other.close();
});

it("a core that has not reached its store for too long issues no token", async () => {
  const late = fakeClock(NEW_YEAR);
  const other = await startOAuthCore({ maxRingAge: 1 }, { clock: late });
  late.advance(60_000);
  const form = { ...GRANT, client_id: "orders", client_secret: other.credentials["orders"] };
  expectRefused(await other.postForm("/oauth/token", form), 503, "temporarily_unavailable");
  await other.close();
});
