import { importJWK } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import type { PublishedJwk } from "countersign/protocol";
import { expectText, partsOf, startTestCore, type TestCore } from "../../support/core.ts";

const RSA = "/.well-known/jwks.json";
const ALL = "/.well-known/jwks-all.json";
const read = (core: TestCore, path: string, headers: Record<string, string> = {}) =>
  core.call(path, { apiKey: null, headers });

describe("the key set", () => {
  let core: TestCore;
  beforeAll(async () => {
    core = await startTestCore();
  });

  for (const path of [RSA, ALL, `/public${RSA}`, `/appid-public${RSA}`, `/appid-public/public${ALL}`]) {
    it(`is public at ${path}, with exactly these headers (K11)`, async () => {
      const answer = await read(core, path);
      expect(answer.status).toBe(200);
      const {
        date,
        etag,
        "content-length": _length,
        connection: _connection,
        "keep-alive": _keepAlive,
        ...rest
      } = Object.fromEntries(answer.headers);
      expect(rest).toEqual({
        "access-control-allow-origin": "*",
        "cache-control": "max-age=60, public, stale-while-revalidate=60, stale-if-error=86400",
        "content-type": "application/json; charset=utf-8",
        "x-content-type-options": "nosniff",
      });
      expect(etag).toMatch(/^"[A-Za-z0-9_-]{22}"$/);
      expect(date).toBeTruthy();
      expect(Object.keys(answer.json)).toEqual(["keys"]);
    });
  }

  it("has the same bytes for every request (K11)", async () => {
    const plain = await read(core, RSA);
    for (const headers of [
      { origin: "https://evil.test" },
      { accept: "text/html" },
      { cookie: "a=b" },
      { "cdi-version": "2.7" },
    ]) {
      const answer = await read(core, RSA, headers);
      expect([answer.text, answer.headers.get("etag"), answer.headers.get("vary")]).toEqual([
        plain.text,
        plain.headers.get("etag"),
        null,
      ]);
    }
    expect((await core.call(RSA)).text).toBe(plain.text);
  });

  it("responds with 304 to a matching If-None-Match", async () => {
    const etag = (await read(core, RSA)).headers.get("etag")!;
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const answer = await read(core, RSA, { "if-none-match": known });
      expect([answer.status, answer.text]).toEqual([304, ""]);
      expect(answer.headers.get("etag")).toBe(etag);
      expect(answer.headers.get("cache-control")).toMatch(/^max-age=60,/);
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    }
    for (const known of ['"other"', "", etag.slice(1, -1), `x${etag}`]) {
      expect((await read(core, RSA, { "if-none-match": known })).status).toBe(200);
    }
  });

  it("responds to HEAD as to GET, without the body", async () => {
    const get = await read(core, RSA);
    const head = await core.call(RSA, { method: "HEAD", apiKey: null });
    expect([head.status, head.text, head.headers.get("etag")]).toEqual([200, "", get.headers.get("etag")]);
  });

  it("lists the static key first, then the dynamic signer, then the prepared key, each with its kid", async () => {
    const keys = await core.keys();
    expect(keys.map((key) => key.kid)).toEqual([
      expect.stringMatching(/^s-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      expect.stringMatching(/^d-\d{13}$/),
      expect.stringMatching(/^d-\d{13}$/),
    ]);
    const kidOf = async (useStaticSigningKey: boolean) =>
      partsOf(await core.mint({ useStaticSigningKey })).header["kid"];
    expect(await kidOf(true)).toBe(keys[0]!.kid);
    expect(await kidOf(false)).toBe(keys[1]!.kid);
    for (const { kid } of keys) expect(kid).toMatch(/^[A-Za-z0-9_-]{1,64}$/); // K1
  });

  it("has only public members, all strings, as the contract lists them (K9)", async () => {
    for (const path of [RSA, "/recipe/jwt/jwks"]) {
      const keys = (await core.call(path)).json["keys"] as PublishedJwk[];
      expect(keys).toHaveLength(3);
      for (const key of keys) {
        expect(Object.keys(key).sort()).toEqual(["alg", "e", "kid", "kty", "n", "use"]);
        expect(key).toMatchObject({ kty: "RSA", alg: "RS256", use: "sig", e: "AQAB" });
        expect(key.n).toMatch(/^[A-Za-z0-9_-]+$/);
        const n = Buffer.from(key.n!, "base64url");
        expect([n.length, n[0]! >= 128]).toEqual([256, true]); // unsigned: no leading zero byte
        expect(key.n).toBe(n.toString("base64url")); // no padding
        expect(await importJWK(key as never)).toBeDefined();
      }
    }
  });

  it("is an error without cache headers for an unknown app", async () => {
    const answer = await read(core, `/appid-ghost${RSA}`);
    expect(answer.status).toBe(400);
    for (const name of ["cache-control", "etag", "access-control-allow-origin"])
      expect(answer.headers.get(name)).toBeNull();
  });

  it("is the only response that another origin can read (K11)", async () => {
    const origin = { origin: "https://evil.test" };
    const answers = [
      await read(core, "/hello", origin),
      await core.call("/apiversion", { headers: origin }),
      await core.post({}, { headers: origin }),
      await core.call("/recipe/jwt", {
        method: "OPTIONS",
        apiKey: null,
        headers: { ...origin, "access-control-request-method": "POST" },
      }),
    ];
    for (const answer of answers) expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  });
});

describe("with more algorithms than RS256", () => {
  let core: TestCore;
  beforeAll(async () => {
    core = await startTestCore({ rotation: { algorithms: ["ES256", "RS256", "Ed25519"] } });
  });

  it("the first set has RSA keys only, with n and e; the full set has all", async () => {
    const rsa = (await read(core, RSA)).json["keys"] as PublishedJwk[];
    const all = (await read(core, ALL)).json["keys"] as PublishedJwk[];
    expect(rsa.map((key) => key.kty)).toEqual(["RSA", "RSA", "RSA"]);
    for (const key of rsa) expect([typeof key.n, typeof key.e]).toEqual(["string", "string"]);
    const count = (alg: string) => all.filter((key) => key.alg === alg).length;
    expect([count("RS256"), count("ES256"), count("Ed25519")]).toEqual([3, 3, 3]);
    expect(all.filter((key) => key.kty === "RSA")).toEqual(rsa);
    expect(rsa[0]!.kid).toMatch(/^s-/);
    expect(all.slice(0, 3).map((key) => key.kid.slice(0, 2))).toEqual(["s-", "s-", "s-"]);
    expect(new Set(all.map((key) => key.kid)).size).toBe(9);
  });

  it("no set has a private or a non-string member (K9)", async () => {
    const all = (await read(core, ALL)).json["keys"] as PublishedJwk[];
    const members = { RSA: ["e", "n"], EC: ["crv", "x", "y"], OKP: ["crv", "x"] } as Record<string, string[]>;
    for (const key of all) {
      expect(Object.keys(key).sort()).toEqual(["alg", "kid", "kty", "use", ...members[key.kty]!].sort());
      for (const value of Object.values(key)) expect(typeof value).toBe("string");
    }
  });

  it("both sets have their own ETag", async () => {
    expect((await read(core, RSA)).headers.get("etag")).not.toBe((await read(core, ALL)).headers.get("etag"));
  });

  it("tokens of each algorithm are issued, under each of its names (T2)", async () => {
    const names = { RS256: "RS256", es256: "ES256", Ed25519: "Ed25519", EdDSA: "Ed25519", eddsa: "Ed25519" };
    for (const [algorithm, alg] of Object.entries(names)) {
      for (const useStaticSigningKey of [true, false]) {
        const { header } = partsOf(await core.mint({ algorithm, useStaticSigningKey }));
        expect(header["alg"]).toBe(alg);
        expect(header["kid"]).toMatch(useStaticSigningKey ? /^s-/ : /^d-/);
      }
    }
    expect((await core.post({ algorithm: "ES512" })).json).toEqual({ status: "UNSUPPORTED_ALGORITHM_ERROR" });
  });

  it("a set cannot be changed with a write method", async () => {
    for (const method of ["PUT", "DELETE"]) {
      expectText(await core.call(ALL, { method }), 405, "Method not supported");
    }
  });
});

describe("another max-age", () => {
  it("is what Cache-Control begins with", async () => {
    const core = await startTestCore({ rotation: { jwksMaxAge: 1_000 } });
    expect((await read(core, RSA)).headers.get("cache-control")).toMatch(/^max-age=1, public,/);
  });
});
