import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { pathnameOf } from "../../../src/http/request/request-target.ts";
import { startTestCore, type TestCore } from "../../support/core.ts";
import { rawRequest, sendRaw } from "../../support/raw-http.ts";

/** Segments that two parsers could read differently, and harmless ones. */
const PIECES = [
  ..."/.;?#@:!$&'()*+,=~-_%^|[]{}<>\"` \t\\aZ0é".split(""),
  "//",
  "/.",
  "/..",
  "/./",
  "/../",
  "%2e",
  "%2E%2e",
  "%2f",
  "%5c",
  "%00",
  "%",
  "\u0080",
  "recipe",
  ".well-known",
];
const byUrl = (target: string) => new URL(`http://core.invalid${target}`).pathname;

describe("the path of a request", () => {
  it("follows the URL standard, for every target (H7)", () => {
    const target = fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map((pieces) => `/${pieces.join("")}`);
    fc.assert(
      fc.property(target, (one) => {
        const backslash = /^[^?]*\\/.test(one);
        expect(pathnameOf(one)).toBe(backslash ? undefined : byUrl(one));
        if (!backslash) expect(pathnameOf(`http://other.test${one}`)).toBe(byUrl(one));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    ["/.well-known/jwks.json", "/.well-known/jwks.json"],
    ["/hello?a=/../b", "/hello"],
    ["/hello?a\\b", "/hello"],
    ["/a/./b/../c", "/a/c"],
    ["/a/%2e%2E/c", "/c"],
    ["/a/..", "/"],
    ["//evil.test/hello", "//evil.test/hello"],
    ["/hel\tlo", "/hello"],
    ["/a b", "/a%20b"],
    ["http://evil.test", "/"],
    ["https://evil.test/a?b", "/a"],
    ["/a\\b", undefined],
    ["http://evil.test\\a", undefined],
    ["http://", undefined],
    ["HTTP://evil.test/a", undefined],
    ["ftp://evil.test/a", undefined],
    ["*", undefined],
    ["hello", undefined],
    ["", undefined],
  ])("%j is %j", (target, expected) => {
    expect(pathnameOf(target)).toBe(expected);
  });
});

describe("the Host of a request", () => {
  let core: TestCore;
  beforeAll(async () => {
    core = await startTestCore();
  });

  it.each(["256.256.256.256", "xn--a", "1.2.3.4.5", "a.0x", "a b", "a/b", "a@b", "a:b", "a:99999", "[::1", "%61", ""])(
    "%j is rejected: 400 without a body (H10)",
    async (host) => {
      for (const path of ["/hello", "/recipe/jwt", "/oauth/token", "/admin/v1/status"]) {
        const answer = await sendRaw(core.port, rawRequest(`GET ${path}`, [`Host: ${host}`]));
        expect([answer.status, answer.body]).toEqual([400, ""]);
        expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
        expect(answer.headers.get("content-length")).toBe("0");
      }
    },
  );

  it.each(["core.test", "CORE.test:3567", "127.0.0.1", "[::1]:80", "a_b", "xn--bcher-kva.test", "localhost:1"])(
    "%j is accepted",
    async (host) => {
      const answer = await sendRaw(core.port, rawRequest("GET /hello", [`Host: ${host}`]));
      expect([answer.status, answer.body]).toEqual([200, "Hello"]);
    },
  );
});
