import { beforeAll, describe, expect, it } from "vitest";
import { decodeJwt } from "countersign/protocol";
import {
  ADMIN_KEY,
  API_KEY,
  expectText,
  partsOf,
  startTestCore,
  type Answer,
  type TestCore,
} from "../../support/core.ts";
import { recordedLog } from "../../support/log.ts";
import { rawRequest, sendRaw } from "../../support/raw-http.ts";
import { naughtyStrings } from "../../support/vectors.ts";

const log = recordedLog();
let core: TestCore;
let epoch: number;
beforeAll(async () => {
  core = await startTestCore({}, { log });
  epoch = await core.epoch();
});

const naughty = naughtyStrings();

/** The text of every response other than 200. None contains input. */
const FIXED_TEXTS: readonly (string | RegExp)[] = [
  "Invalid API key",
  "Not found",
  "Method not supported",
  "Invalid Json Input",
  "cdi-version header is invalid",
  "Only public tenantId can call this app specific API",
  "The default app cannot be removed",
  "Too many requests with an invalid key; retry later",
  "Invalid Json Input: the names '__proto__', 'constructor' and 'prototype' are not allowed",
  /^Field name '(payload|algorithm|jwksDomain|validity|useStaticSigningKey|appId)' is invalid in JSON input$/,
  /^cdi-version \d{1,4}\.\d{1,4} not supported$/,
  /^AppId or tenantId not found => app unknown$/,
  /^payload: claim '(iss|sub|aud|jti|exp|nbf|iat)' has the wrong type$/,
  /^payload: the token would be larger than 8192 bytes$/,
  /^appId (should not be an empty String|must not start with 'appid-'|can only contain letters, numbers and hyphens|must not be longer than 64 characters)$/,
];

function expectFixed(answer: Answer): void {
  expect([200, 400, 401, 403, 404, 405, 429]).toContain(answer.status);
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  if (answer.status === 200) return;
  expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  const known = FIXED_TEXTS.some((text) => (typeof text === "string" ? text === answer.text : text.test(answer.text)));
  expect(known ? "" : answer.text).toBe("");
}

/** Runs `work` for each string, many at the same time. */
async function forEachNaughty(work: (text: string) => Promise<void>): Promise<void> {
  for (let i = 0; i < naughty.length; i += 32) await Promise.all(naughty.slice(i, i + 32).map(work));
}

describe(`${naughty.length} naughty strings (H9, H8, K1)`, () => {
  it("as a claim: unchanged in the token, or rejected with a fixed text", async () => {
    let minted = 0;
    await forEachNaughty(async (text) => {
      const answer = await core.post({ payload: { sub: text, list: [text] } });
      expectFixed(answer);
      if (answer.status !== 200) return;
      minted++;
      const jwt = answer.json["jwt"] as string;
      expect(partsOf(jwt).claims).toMatchObject({ sub: text, list: [text] });
      expect(decodeJwt(jwt).ok).toBe(true);
    });
    expect(minted).toBeGreaterThan(naughty.length * 0.9);
  });

  it("as the name of a claim", async () => {
    await forEachNaughty(async (text) => {
      const answer = await core.post({ payload: Object.fromEntries([[text, "x"]]) });
      expectFixed(answer);
      if (answer.status === 200) expect(partsOf(answer.json["jwt"] as string).claims[text]).toBe("x");
    });
  });

  it("as jwksDomain", async () => {
    await forEachNaughty(async (text) => {
      const answer = await core.post({ jwksDomain: text });
      expectFixed(answer);
      if (answer.status === 200) expect(partsOf(answer.json["jwt"] as string).claims["iss"]).toBe(text);
    });
  });

  it("as algorithm: each is unsupported", async () => {
    await forEachNaughty(async (algorithm) => {
      const answer = await core.post({ algorithm });
      expect([answer.status, answer.text]).toEqual([200, '{"status":"UNSUPPORTED_ALGORITHM_ERROR"}']);
    });
  });

  for (const field of ["payload", "validity", "useStaticSigningKey"]) {
    it(`as ${field}: each is rejected`, async () => {
      await forEachNaughty(async (text) => {
        const answer = await core.post({ [field]: text });
        expectText(answer, 400, `Field name '${field}' is invalid in JSON input`);
      });
    });
  }

  it("as the whole body", async () => {
    await forEachNaughty(async (text) => {
      const answer = await core.call("/recipe/jwt", { method: "POST", body: text });
      expect(answer.status).toBe(400);
      expectFixed(answer);
    });
  });

  it("as the app to remove", async () => {
    await forEachNaughty(async (appId) => {
      const path = "/recipe/multitenancy/app/remove";
      const answer = await core.call(path, { method: "POST", apiKey: ADMIN_KEY, body: { appId } });
      expectFixed(answer);
      if (answer.status === 200) expect(answer.json).toEqual({ status: "OK", didExist: false });
    });
  });

  it("as the ID of a new app, if it is not a valid ID", async () => {
    await forEachNaughty(async (appId) => {
      if (/^[a-z0-9-]{1,64}$/.test(appId.trim().toLowerCase())) return;
      const path = "/recipe/multitenancy/app/v2";
      const answer = await core.call(path, { method: "PUT", apiKey: ADMIN_KEY, body: { appId } });
      expect(answer.status).toBe(400);
      expectFixed(answer);
    });
  });

  it("in the path, as app, tenant and route", async () => {
    await forEachNaughty(async (text) => {
      let segment: string;
      try {
        segment = encodeURIComponent(text);
      } catch {
        return; // A URL cannot contain a lone surrogate.
      }
      for (const path of [
        `/appid-${segment}/recipe/jwt`,
        `/${segment}/recipe/jwt`,
        `/recipe/${segment}`,
        `/${segment}`,
      ]) {
        expectFixed(await core.call(path, { apiKey: null }));
        expectFixed(await core.post({}, { path }));
      }
      expectFixed(await core.call(`/appid-${segment}/.well-known/jwks.json`, { apiKey: null }));
    });
  });

  it("in the headers", async () => {
    const possible = /^[\t\x20-\x7e\x80-\xff]*$/; // HTTP cannot send the other strings.
    expect(naughty.filter((text) => possible.test(text)).length).toBeGreaterThan(2);
    await forEachNaughty(async (text) => {
      if (!possible.test(text)) return;
      for (const name of ["cdi-version", "rid", "api-key", "authorization", "if-none-match", "accept"]) {
        const headers = { [name]: text };
        const apiKey = name === "api-key" || name === "authorization" ? null : API_KEY;
        expectFixed(await core.call("/apiversion", { apiKey, headers }));
      }
    });
  });
});

describe("path tricks (H7)", () => {
  // Without a key they reach only the public routes, and with a key they never reach another app.
  const protectedAlways = [
    "//recipe/jwt/jwks",
    "/./recipe/jwt/jwks",
    "/x/../recipe/jwt/jwks",
    "/x/%2e%2e/recipe/jwt/jwks",
    "/.well-known/../recipe/jwt/jwks",
    "/.well-known/%2e%2e/recipe/jwt/jwks",
    "/.well-known/.%2E/recipe/jwt/jwks",
    "/.well-known//../recipe/jwt/jwks",
    "/hello/../recipe/jwt/jwks",
    "/hello/%2e%2e/recipe/jwt/jwks",
    "/hello;/recipe/jwt/jwks",
    "/hello;x",
    "/hello/",
    "/HELLO",
    "/%68ello",
    "/hello%00",
    "/hello%2f",
    "//hello",
    "/recipe/jwt/jwks;.well-known",
    "/recipe/jwt/jwks#/hello",
    "/recipe/jwt/jwks?/.well-known/jwks.json",
    "/recipe%2fjwt%2fjwks",
    "/recipe/jwt%2fjwks",
    "/RECIPE/JWT/JWKS",
    "/recipe/jwt/jwks/",
    "/recipe//jwt/jwks",
    "/appid-public//recipe/jwt/jwks",
    "/appid-ghost/../recipe/jwt/jwks",
    "/appid-public%2frecipe/jwt/jwks",
    "/appid-/recipe/jwt/jwks",
    "/appid-public/appid-ghost/recipe/jwt/jwks",
    "/ghost/recipe/jwt/jwks",
    "/.well-known%2f../recipe/jwt/jwks",
    "/admin/v1/../../recipe/jwt/jwks",
    "/%61dmin/v1/status",
    "/.Well-Known/jwks.json",
    "http://evil.test/recipe/jwt/jwks",
    "http://evil.test/.well-known/../recipe/jwt/jwks",
  ];
  for (const target of protectedAlways) {
    it(`${target} is 401 without a key, with any version`, async () => {
      for (const version of [[], ["cdi-version: 2.7"], ["cdi-version: 5.4"], ["cdi-version: nonsense"]]) {
        const answer = await sendRaw(core.port, rawRequest(`GET ${target}`, version));
        expect([answer.status, answer.body]).toEqual([401, "Invalid API key"]);
        expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      }
    });

    it(`${target} is either the default app's key set or an error with a key`, async () => {
      const answer = await sendRaw(core.port, rawRequest(`GET ${target}`, [`api-key: ${API_KEY}`]));
      expect([200, 400, 403, 404]).toContain(answer.status);
      if (answer.status === 200) expect(JSON.parse(answer.body)).toEqual({ status: "OK", keys: await core.keys() });
    });
  }

  for (const target of [
    "/.well-known/..%2frecipe/jwt/jwks",
    "/.well-known/%252e%252e/recipe/jwt/jwks",
    "/.well-known/",
  ]) {
    it(`${target} stays below .well-known, and gets 404`, async () => {
      const answer = await sendRaw(core.port, rawRequest(`GET ${target}`));
      expect([answer.status, answer.body]).toEqual([404, "Not found"]);
    });
  }

  for (const target of ["/hello\\..\\recipe\\jwt\\jwks", "/\\recipe/jwt/jwks", "*", "recipe/jwt/jwks", "/recipe jwt"]) {
    it(`${target} is not a valid path: 400 without a body`, async () => {
      const answer = await sendRaw(core.port, rawRequest(`GET ${target}`, [`api-key: ${API_KEY}`]));
      expect(answer.status).toBe(400);
      expect(answer.body.replace("0\r\n\r\n", "")).toBe("");
    });
  }

  it("the admin API requires authentication for the same paths", async () => {
    for (const target of [
      "/admin/v1/status",
      "/x/../admin/v1/status",
      "/.well-known/../admin/v1/status",
      "/hello/%2e%2e/admin/v1/status",
    ]) {
      expect((await sendRaw(core.port, rawRequest(`GET ${target}`))).status).toBe(401);
      expect((await sendRaw(core.port, rawRequest(`GET ${target}`, [`api-key: ${API_KEY}`]))).status).toBe(401);
    }
  });
});

describe("framing (H4)", () => {
  const post = (headers: string[], body = "") => sendRaw(core.port, rawRequest("POST /hello", headers, body));
  for (const [what, headers, body] of [
    ["both lengths", ["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"],
    ["two lengths", ["Content-Length: 0", "Content-Length: 5"], ""],
    ["a length that is not a number", ["Content-Length: +5"], ""],
    ["an unknown transfer encoding", ["Transfer-Encoding: xchunked"], ""],
    ["a folded header", ["X-Folded: a\r\n b"], ""],
    ["a space before the colon", ["X-Header : a"], ""],
    ["a NUL in a header", ["X-Header: a\0b"], ""],
    ["a chunk size that is not a number", ["Transfer-Encoding: chunked"], "zz\r\n\r\n"],
  ] as [string, string[], string][]) {
    it(`rejects ${what}`, async () => {
      expect((await post(headers, body)).status).toBe(400);
    });
  }

  it("rejects lines that end with LF alone", async () => {
    const answer = await sendRaw(core.port, "GET /hello HTTP/1.1\nHost: localhost\nConnection: close\n\n");
    expect(answer.status).toBe(400);
  });

  it("rejects endless headers", async () => {
    const answer = await sendRaw(core.port, rawRequest("GET /hello", [`X-Long: ${"x".repeat(20_000)}`]));
    expect(answer.status).toBe(431);
  });
});

describe("after these requests", () => {
  it("the store is unchanged", async () => {
    expect(await core.epoch()).toBe(epoch);
    expect(await core.keys()).toHaveLength(3);
  });

  it("no internal error occurred, and no token or key is in the log (S6)", () => {
    const text = log.lines.join("\n");
    // Throttling an address is not a failure.
    expect(text).not.toMatch(/^(error |warn (?!too many failed authentications, throttling address ))/m);
    expect(text).not.toMatch(/eyJ[A-Za-z0-9_-]{10}/);
    expect(text).not.toContain(API_KEY);
  });
});
