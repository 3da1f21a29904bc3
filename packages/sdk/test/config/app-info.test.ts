import { describe, expect, test } from "vitest";
import {
  normalizeAppInfo,
  normalizeDomain,
  normalizeHost,
  normalizePath,
  type AppInfo,
} from "../../src/config/app-info.ts";

describe("domains", () => {
  test.each([
    ["localhost", "http://localhost"],
    ["localhost:4001", "http://localhost:4001"],
    ["LOCALHOST:4001", "http://localhost:4001"],
    ["localhost.org", "http://localhost.org"],
    ["127.0.0.1:80", "http://127.0.0.1"],
    ["192.168.1.7:4001", "http://192.168.1.7:4001"],
    ["10.0.0.1/path", "http://10.0.0.1"],
    ["api.example.com", "https://api.example.com"],
    ["API.Example.COM:8080", "https://api.example.com:8080"],
    ["example.com/some/path?x=1#y", "https://example.com"],
    [".example.com", "https://example.com"],
    ["  example.com  ", "https://example.com"],
    ["http://example.com", "http://example.com"],
    ["HTTP://Example.com/Path", "http://example.com"],
    ["https://localhost:4001/", "https://localhost:4001"],
    ["http://orders:4001", "http://orders:4001"],
    ["https://example.com:443", "https://example.com"],
    ["1.2.3.4.example.com", "https://1.2.3.4.example.com"],
  ])("%s becomes %s", (input, expected) => expect(normalizeDomain(input)).toBe(expected));

  test.each([
    ["orders"],
    [""],
    [" "],
    ["/auth"],
    ["http://"],
    ["https://:80"],
    ["ftp://example.com"],
    ["exa mple.com"],
    ["example.com:99999"],
    ["mailto:a@example.com"],
    ["?a.b"],
    ["999.1.1.1"],
  ])("%j is not a domain", (input) =>
    expect(() => normalizeDomain(input)).toThrow("Please provide a valid domain name"),
  );

  test("a value that is not a string is not a domain", () => {
    for (const input of [undefined, null, 1, {}]) {
      expect(() => normalizeDomain(input as unknown as string)).toThrow("Please provide a valid domain name");
    }
  });
});

describe("hosts of a core", () => {
  test.each([
    ["localhost:3567", "http://localhost:3567"],
    ["http://core:3567/", "http://core:3567"],
    ["https://core.test/base/path/", "https://core.test/base/path"],
    ["core.test/appid-a", "https://core.test/appid-a"],
    ["127.0.0.1:3567/x", "http://127.0.0.1:3567/x"],
  ])("%s becomes %s: the path is kept", (input, expected) => expect(normalizeHost(input)).toBe(expected));
});

describe("paths", () => {
  test.each([
    ["auth", "/auth"],
    ["/auth", "/auth"],
    ["/auth/", "/auth"],
    ["/a/b/", "/a/b"],
    ["", ""],
    ["/", ""],
    [" /auth ", "/auth"],
  ])("%j becomes %j", (input, expected) => expect(normalizePath(input)).toBe(expected));
});

describe("appInfo", () => {
  const base = { appName: "orders", apiDomain: "localhost:4001" };

  test.each<[Partial<AppInfo>, string]>([
    [{}, "/auth"],
    [{ apiBasePath: "/" }, ""],
    [{ apiBasePath: "v1/" }, "/v1"],
    [{ apiGatewayPath: "/gateway" }, "/gateway/auth"],
    [{ apiGatewayPath: "gateway/", apiBasePath: "/auth" }, "/gateway/auth"],
    [{ apiGatewayPath: "/gateway", apiBasePath: "" }, "/gateway"],
  ])("with %j the base path is %j", (more, apiBasePath) => {
    expect(normalizeAppInfo({ ...base, ...more }).apiBasePath).toBe(apiBasePath);
  });

  test("websiteDomain is optional, origin is its other name, websiteBasePath is accepted", () => {
    expect(normalizeAppInfo(base).websiteDomain).toBeUndefined();
    expect(normalizeAppInfo({ ...base, origin: "localhost:3000" }).websiteDomain).toBe("http://localhost:3000");
    const both = { ...base, websiteDomain: "a.test/x", origin: "b.test", websiteBasePath: "/login" };
    expect(normalizeAppInfo(both)).toEqual({
      appName: "orders",
      apiDomain: "http://localhost:4001",
      websiteDomain: "https://a.test",
      apiBasePath: "/auth",
    });
  });

  test.each([
    [undefined],
    [null],
    [{}],
    [{ appName: "a" }],
    [{ apiDomain: "a.test" }],
    [{ appName: 1, apiDomain: "a.test" }],
  ])("%j is rejected by name", (appInfo) => {
    expect(() => normalizeAppInfo(appInfo as unknown as AppInfo)).toThrow(
      expect.objectContaining({
        code: "invalid_option",
        message: expect.stringMatching(/^appInfo/) as string,
      }) as Error,
    );
  });
});
