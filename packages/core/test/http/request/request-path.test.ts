import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitPath } from "../../../src/http/request/request-path.ts";

const ROUTES = new Set(["/", "/hello", "/recipe/jwt", "/recipe/jwt/jwks", "/.well-known/jwks.json"]);
const split = (pathname: string) => splitPath(pathname, (path) => ROUTES.has(path));
const of = (appId: string, tenantId: string, route: string) => ({ appId, tenantId, route });

describe("splitPath", () => {
  for (const [pathname, expected] of [
    ["/recipe/jwt", of("public", "public", "/recipe/jwt")],
    ["/", of("public", "public", "/")],
    ["/public", of("public", "public", "/")],
    ["/public/", of("public", "public", "/")],
    ["/public/recipe/jwt", of("public", "public", "/recipe/jwt")],
    ["/PUBLIC/recipe/jwt", of("public", "public", "/recipe/jwt")],
    ["/t1/recipe/jwt", of("public", "t1", "/recipe/jwt")],
    ["/T1/recipe/jwt", of("public", "t1", "/recipe/jwt")],
    ["/appid-shop", of("shop", "public", "/")],
    ["/appid-shop/", of("shop", "public", "/")],
    ["/appid-SHOP/recipe/jwt", of("shop", "public", "/recipe/jwt")],
    ["/appid-shop/public/recipe/jwt", of("shop", "public", "/recipe/jwt")],
    ["/appid-shop/t1/recipe/jwt", of("shop", "t1", "/recipe/jwt")],
    ["/appid-appid-x/hello", of("appid-x", "public", "/hello")],
    // The first prefix counts, and only as the first segment.
    ["/appid-a/appid-b/recipe/jwt", of("a", "appid-b", "/recipe/jwt")],
    ["/t1/appid-shop/recipe/jwt", of("public", "public", "/t1/appid-shop/recipe/jwt")],
    ["/APPID-shop/recipe/jwt", of("public", "appid-shop", "/recipe/jwt")],
    ["/appid-/recipe/jwt", of("public", "appid-", "/recipe/jwt")],
    // An unknown path keeps its prefixes.
    ["/nothing", of("public", "public", "/nothing")],
    ["/t1", of("public", "public", "/t1")],
    ["/t1/", of("public", "public", "/t1/")],
    ["/t1/nothing", of("public", "public", "/t1/nothing")],
    ["/appid-shop/nothing", of("shop", "public", "/appid-shop/nothing")],
    ["/recipe/jwt/", of("public", "public", "/recipe/jwt/")],
    ["//recipe/jwt", of("public", "public", "//recipe/jwt")],
    ["/appid-shop//recipe/jwt", of("shop", "public", "/appid-shop//recipe/jwt")],
    ["/t1/t2/recipe/jwt", of("public", "public", "/t1/t2/recipe/jwt")],
    ["/Recipe/jwt", of("public", "public", "/Recipe/jwt")],
    ["/recipe%2fjwt", of("public", "public", "/recipe%2fjwt")],
  ] as const) {
    it(`${pathname} -> ${expected.appId}, ${expected.tenantId}, ${expected.route}`, () => {
      expect(split(pathname)).toEqual(expected);
    });
  }

  it("finds app, tenant and route in every combination of them (H7)", () => {
    const name = fc.stringMatching(/^[a-z0-9-]{1,20}$/);
    const route = fc.constantFrom("/hello", "/recipe/jwt", "/recipe/jwt/jwks", "/.well-known/jwks.json");
    fc.assert(
      fc.property(name, fc.option(name), route, (appId, tenantId, wanted) => {
        fc.pre(tenantId === null || !ROUTES.has(`/${tenantId}${wanted}`));
        const pathname = `/appid-${appId}${tenantId === null ? "" : `/${tenantId}`}${wanted}`;
        expect(split(pathname)).toEqual(of(appId, tenantId ?? "public", wanted));
      }),
    );
  });

  it("never finds a route that the path does not end with", () => {
    fc.assert(
      fc.property(fc.webPath(), (pathname) => {
        const { route } = split(pathname);
        expect(route === "/" || pathname.endsWith(route)).toBe(true);
      }),
    );
  });
});
