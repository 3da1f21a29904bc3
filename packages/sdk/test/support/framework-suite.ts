// The tests of every framework's adapter, over a real socket. Each framework provides one small service.
import type { RequestListener } from "node:http";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { FrontOptions } from "../../src/middleware/responses.ts";
import type { GuardOptions } from "../../src/middleware/guard.ts";
import { init, type Caller, type VerifierEvent } from "../../src/index.ts";
import { CountersignError } from "../../src/protocol/errors.ts";
import jwt, { createJWT, type RecipeApis } from "../../src/recipe-jwt.ts";
import { deadAddress, listen, sendRaw, type TestServer } from "./http.ts";
import { appInfo, forgetDefaultInstance, instanceAt } from "./instances.ts";
import { edKey, tokenBy } from "./keys.ts";
import { serveKeys } from "./key-server.ts";
import { startStandInCore } from "./stand-in-core.ts";

/** A service, in the idiom of its framework. */
export interface Service {
  /** `middleware()` before all routes. Default: without. */
  readonly front?: FrontOptions | undefined;
  /** `errorHandler()`, if the framework has one. */
  readonly handlesErrors?: boolean | undefined;
  /** A guard with these options protects `GET` and `POST /stock`, which respond with the result of `handle` as JSON. */
  readonly guard: GuardOptions | undefined;
  /** @param body the posted JSON, as the framework parsed it */
  handle(caller: Caller | undefined, body?: unknown): object;
  /** The handler of `GET /own`, which has no guard; its result is the JSON response. */
  own(): object;
}

export type Framework = (service: Service) => RequestListener | Promise<RequestListener>;

interface Callee extends TestServer {
  /** Returns how often the guarded handler ran. */
  handled(): number;
}

const key = edKey();
const now = () => Math.floor(Date.now() / 1000);
const fresh = (claims: object = {}) => tokenBy(key, { iat: now(), exp: now() + 60, ...claims });
const ask = (callee: TestServer, authorization?: string) =>
  fetch(`${callee.url}/stock`, { headers: authorization === undefined ? {} : { authorization } });

const CHALLENGE = 'Bearer realm="microservices"';

/** @param hasErrorHandler false if the framework has no error handlers */
export function describeFramework(name: string, framework: Framework, { hasErrorHandler = true } = {}): void {
  afterEach(forgetDefaultInstance);
  vi.spyOn(process, "emitWarning").mockReturnValue(); // adapters without a framework's log report errors here

  async function serve(service: Partial<Service>): Promise<Callee> {
    let handled = 0;
    const listener = await framework({
      guard: undefined,
      handle(caller, body) {
        handled++;
        return { calledBy: caller?.service, claims: caller?.claims, body };
      },
      own: () => ({ own: true }),
      ...service,
    });
    return Object.assign(await listen(listener), { handled: () => handled });
  }

  async function guarded(options: GuardOptions = {}): Promise<Callee> {
    const { jwksUri } = await serveKeys(key);
    return serve({ guard: { jwksUri, ...options } });
  }

  describe(`verifyMicroservice of ${name}`, () => {
    test("accepts a valid token and names the caller", async () => {
      const callee = await guarded();
      const answer = await ask(callee, `Bearer ${fresh()}`);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({ calledBy: "orders", claims: { source: "microservice" } });
    });

    test("leaves the body to the handler", async () => {
      const callee = await guarded();
      const post = (token: string) =>
        fetch(`${callee.url}/stock`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ take: "x".repeat(50_000) }),
        });
      const answer = await post(fresh());
      expect(await answer.json()).toMatchObject({ calledBy: "orders", body: { take: "x".repeat(50_000) } });
      expect((await post("forged")).status).toBe(401);
      expect(callee.handled()).toBe(1);
    });

    test("rejects as RFC 6750 requires, exposes only the error code, and does not run the handler", async () => {
      const callee = await guarded();
      const invalid = `${CHALLENGE}, error="invalid_token"`;
      for (const [what, authorization, status, challenge] of [
        ["no token", undefined, 401, CHALLENGE],
        ["another scheme", "Basic dTpw", 401, CHALLENGE],
        ["bad grammar", "Bearer a b", 400, `${CHALLENGE}, error="invalid_request"`],
        ["two tokens in one header", "Bearer a, Bearer b", 400, `${CHALLENGE}, error="invalid_request"`],
        ["no JWT", "Bearer abc", 401, invalid],
        ["an expired token", `Bearer ${fresh({ exp: 1 })}`, 401, invalid],
        ["a forged token", `Bearer ${tokenBy(edKey(), { exp: now() + 60 })}`, 401, invalid],
        ["an unknown key", `Bearer ${tokenBy(edKey("s-other"), { exp: now() + 60 })}`, 401, invalid],
        ["a user's token", `Bearer ${fresh({ source: "user" })}`, 403, `${CHALLENGE}, error="insufficient_scope"`],
      ] as const) {
        const answer = await ask(callee, authorization);
        expect([answer.status, answer.headers.get("www-authenticate")], what).toEqual([status, challenge]);
        expect(answer.headers.get("cache-control"), what).toBe("no-store");
        expect(answer.headers.get("content-type"), what).toMatch(/^application\/json; ?charset=utf-8$/i);
        const message = { 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden" }[status];
        expect(await answer.text(), what).toBe(JSON.stringify({ message }));
      }
      expect(callee.handled()).toBe(0);
    });

    test("C2 a service is rejected for its name, aud or scope, and the challenge names the missing scope", async () => {
      const callee = await guarded({ audience: "stock", allow: ["orders"], scope: ["stock:read", "stock:reserve"] });
      const good = { aud: "stock", scope: "stock:reserve stock:read other" };
      const forbidden = `${CHALLENGE}, error="insufficient_scope"`;
      for (const [claims, status, challenge] of [
        [{}, 200, null],
        [{ scope: "stock:read" }, 403, `${forbidden}, scope="stock:read stock:reserve"`],
        [{ scope: undefined }, 403, `${forbidden}, scope="stock:read stock:reserve"`],
        [{ sub: "billing" }, 403, forbidden],
        [{ aud: "orders" }, 401, `${CHALLENGE}, error="invalid_token"`],
      ] as const) {
        const answer = await ask(callee, `Bearer ${fresh({ ...good, ...claims })}`);
        expect([answer.status, answer.headers.get("www-authenticate")], JSON.stringify(claims)).toEqual([
          status,
          challenge,
        ]);
      }
      expect(callee.handled()).toBe(1);
    });

    test("responds with 503 without a challenge while keys are unavailable", async () => {
      const callee = await guarded({ jwksUri: `${deadAddress()}/keys.json` });
      const answer = await ask(callee, `Bearer ${fresh()}`);
      expect([answer.status, answer.headers.get("www-authenticate"), answer.headers.get("retry-after")]).toEqual([
        503,
        null,
        "1",
      ]);
      expect(await answer.json()).toEqual({ message: "Service Unavailable" });
      expect(callee.handled()).toBe(0);
    });

    test("an optional route accepts a missing token and a user's token without a caller, and rejects an invalid one", async () => {
      const refusals: string[] = [];
      const onEvent = (event: VerifierEvent) => void (event.type === "refused" && refusals.push(event.reason));
      const callee = await guarded({ optional: true, onEvent });
      const statusAndCaller = async (authorization?: string) => {
        const answer = await ask(callee, authorization);
        return [answer.status, ((await answer.json()) as { calledBy?: string }).calledBy];
      };
      expect(await statusAndCaller()).toEqual([200, undefined]);
      expect(await statusAndCaller(`Bearer ${fresh({ source: "user" })}`)).toEqual([200, undefined]);
      expect(await statusAndCaller(`Bearer ${fresh({ source: "user", aud: "x" })}`)).toEqual([200, undefined]);
      expect(await statusAndCaller(`Bearer ${fresh()}`)).toEqual([200, "orders"]);
      expect(refusals).toEqual([]);
      const bad = ["Bearer a b", `Bearer ${fresh({ exp: 1 })}`, `Bearer ${fresh({ aud: "x" })}`];
      for (const authorization of bad) expect((await ask(callee, authorization)).status).toBeGreaterThanOrEqual(400);
      expect(refusals).toEqual(["authorization_malformed", "token_expired", "audience_mismatch"]);
      expect(callee.handled()).toBe(4);
    });

    test("H1 two Authorization headers are rejected, also if one of them is valid", async () => {
      const callee = await guarded();
      const optional = await guarded({ optional: true });
      const good = `Authorization: Bearer ${fresh()}`;
      const send = (to: TestServer, fields: string[]) =>
        sendRaw(to.port, ["GET /stock HTTP/1.1", "Host: a", ...fields]);
      expect((await send(callee, [good])).status).toBe(200);
      for (const fields of [
        [good, good],
        [good, "Authorization: Bearer x"],
        ["authorization: Basic dTpw", good],
        [good, "Authorization:"],
      ]) {
        for (const service of [callee, optional]) {
          const answer = await send(service, fields);
          expect([answer.status, answer.headers.get("www-authenticate")], String(fields)).toEqual([
            400,
            `${CHALLENGE}, error="invalid_request"`,
          ]);
          expect(answer.body).toContain("Bad Request");
        }
      }
      expect([callee.handled(), optional.handled()]).toEqual([1, 0]);
    });

    test("H2 only one space between scheme and token is accepted", async () => {
      const callee = await guarded();
      const token = fresh();
      const statusOf = async (field: string) =>
        (await sendRaw(callee.port, ["GET /stock HTTP/1.1", "Host: a", field])).status;
      for (const field of [
        `Authorization: Bearer ${token}`,
        `AUTHORIZATION: bEARER ${token}`,
        `Authorization:   Bearer ${token}  `,
      ]) {
        expect(await statusOf(field), field).toBe(200);
      }
      for (const field of [
        `Authorization: Bearer\t${token}`,
        `Authorization: Bearer  ${token}`,
        `Authorization: Bearer ${token} x`,
        `Authorization: Bearer ${token},`,
        `Authorization: Bearer "${token}"`,
        `Authorization: Bearer`,
        `Authorization: Bearer ${token}\xe9`,
      ]) {
        expect(await statusOf(field), field).toBe(400);
      }
      expect(callee.handled()).toBe(3);
    });

    test("H3 a token in the query or a cookie is ignored, and one in the query next to a header is rejected", async () => {
      const callee = await guarded();
      const token = fresh();
      const askWith = async (query: string, headers: Record<string, string>) => {
        const answer = await fetch(`${callee.url}/stock?${query}`, { headers });
        return [answer.status, answer.headers.get("www-authenticate")];
      };
      const authorization = `Bearer ${token}`;
      expect(await askWith(`access_token=${token}`, { cookie: `token=${token}` })).toEqual([401, CHALLENGE]);
      for (const query of ["access_token", "a=b&access_token", "access%5Ftoken", "access_token=&access_token"]) {
        const both = await askWith(`${query}=${token}`, { authorization });
        expect(both, query).toEqual([400, `${CHALLENGE}, error="invalid_request"`]);
      }
      expect(callee.handled()).toBe(0);
      // A header with another scheme has no token, and neither has another query parameter.
      expect(await askWith("access_token=1", { authorization: "Basic dTpw" })).toEqual([401, CHALLENGE]);
      const others = "page=access_token&x_access_token=1&access_token_type=%20&Access_Token=";
      expect(await askWith(others, { authorization, cookie: `access_token=${token}` })).toEqual([200, null]);
    });

    test("an invalid option throws when the route is created", async () => {
      await expect((async () => serve({ guard: { clockTolerance: 301 } }))()).rejects.toThrow(/clockTolerance/);
      await expect((async () => serve({ guard: { optional: "yes" as unknown as boolean } }))()).rejects.toThrow(
        /optional/,
      );
    });

    test("without options it trusts the core of init, also if init runs after the route is created; before init, 500 without details", async () => {
      const core = await startStandInCore();
      for (const handlesErrors of [false, true]) {
        const callee = await serve({ guard: {}, handlesErrors });
        const answer = await ask(callee, `Bearer ${fresh()}`);
        expect(answer.status).toBe(500);
        expect(await answer.text()).not.toMatch(/no keys|jwksUri/);
        expect(callee.handled()).toBe(0);

        init({ appInfo, core: { connectionURI: core.url }, recipeList: [jwt.init()] });
        const result = await createJWT({ source: "microservice", service: "orders" });
        const initialised = await ask(callee, `Bearer ${result.status === "OK" ? result.jwt : ""}`);
        expect(await initialised.json()).toMatchObject({ calledBy: "orders" });
        await forgetDefaultInstance();
      }
    });

    test("accepts an instance, and reads the full set of its core", async () => {
      const core = await startStandInCore();
      core.fullSet = [core.key.jwk, key.jwk];
      const callee = await serve({ guard: { countersign: instanceAt(core.url) } });
      expect((await ask(callee, `Bearer ${fresh()}`)).status).toBe(200);
    });
  });

  describe(`middleware of ${name}`, () => {
    test("serves the front interface to GET and HEAD, and passes on all other requests", async () => {
      const core = await startStandInCore();
      core.fullSet = [core.key.jwk, key.jwk];
      core.revocations = "e30.e30.c2ln";
      const service = await serve({ front: { countersign: instanceAt(core.url) } });
      for (const [path, body] of [
        ["/auth/jwt/jwks.json", JSON.stringify({ keys: [core.key.jwk] })],
        ["/auth/jwt/jwks.json?x=1", JSON.stringify({ keys: [core.key.jwk] })],
        ["/auth/jwt/jwks-all.json", JSON.stringify({ keys: core.fullSet })],
        ["/auth/jwt/revocations", core.revocations],
        [
          "/auth/.well-known/openid-configuration",
          JSON.stringify({
            issuer: `${appInfo.apiDomain}/auth`,
            jwks_uri: `${appInfo.apiDomain}/auth/jwt/jwks.json`,
          }),
        ],
      ] as const) {
        const [got, head] = [await fetch(service.url + path), await fetch(service.url + path, { method: "HEAD" })];
        expect([got.status, await got.text()], path).toEqual([200, body]);
        expect([head.status, await head.text()], `HEAD ${path}`).toEqual([200, ""]);
        for (const header of ["access-control-allow-origin", "cache-control", "content-type"])
          expect(head.headers.get(header), `${header} of ${path}`).toBe(got.headers.get(header));
        expect(got.headers.get("access-control-allow-origin"), path).toBe("*");
      }
      const jwks = await fetch(`${service.url}/auth/jwt/jwks.json`);
      expect(jwks.headers.get("cache-control")).toBe("max-age=60, must-revalidate");
      expect(jwks.headers.get("content-type")).toMatch(/^application\/json; ?charset=utf-8$/i);

      expect(await (await fetch(`${service.url}/own`)).json()).toEqual({ own: true });
      for (const [method, path] of [
        ["POST", "/auth/jwt/jwks.json"],
        ["GET", "/auth/jwt"],
        ["GET", "/jwt/jwks.json"],
        ["GET", "/auth/jwt/jwks.jsonx"],
      ] as const) {
        expect((await fetch(service.url + path, { method })).status, `${method} ${path}`).toBe(404);
      }
    });

    test("serves the instance of init, and before init responds with 500 without details", async () => {
      const core = await startStandInCore();
      const service = await serve({ front: {} });
      const early = await fetch(`${service.url}/auth/jwt/jwks.json`);
      expect(early.status).toBe(500);
      expect(await early.text()).not.toContain("call init");
      init({ appInfo, core: { connectionURI: core.url }, recipeList: [jwt.init()] });
      expect((await fetch(`${service.url}/auth/jwt/jwks.json`)).status).toBe(200);
    });

    test("an unreachable core is a server error, without details", async () => {
      const address = deadAddress();
      for (const handlesErrors of [false, true]) {
        const service = await serve({ front: { countersign: instanceAt(address) }, handlesErrors });
        const answer = await fetch(`${service.url}/auth/jwt/jwks.json`);
        const text = await answer.text();
        expect(answer.status).toBeGreaterThanOrEqual(500);
        expect(text).not.toContain(new URL(address).port);
        if (handlesErrors) expect([answer.status, text]).toEqual([503, '{"message":"Service Unavailable"}']);
      }
    });

    test("an override receives the request, and the framework's own objects", async () => {
      const core = await startStandInCore();
      const seen: unknown[] = [];
      const override = {
        apis: (original: RecipeApis) => ({
          ...original,
          getJWKSGET: async (input: Parameters<NonNullable<typeof original.getJWKSGET>>[0]) => {
            const { req } = input.options;
            seen.push(req.getMethod(), req.getOriginalURL(), req.getHeaderValue("X-Trace"), req.getHeaderValue("x-no"));
            seen.push(req.getKeyValueFromQuery("q"), req.getKeyValueFromQuery("none"), typeof req.original);
            return original.getJWKSGET!(input);
          },
        }),
      };
      const service = await serve({ front: { countersign: instanceAt(core.url, { override }) } });
      const path = "/auth/jwt/jwks.json?q=a%20b";
      expect((await fetch(service.url + path, { headers: { "x-trace": "t" } })).status).toBe(200);
      expect(seen).toEqual(["GET", path, "t", undefined, "a b", undefined, "object"]);
    });
  });

  if (!hasErrorHandler) return;
  describe(`errorHandler of ${name}`, () => {
    test("handles this package's errors from a handler, without their text", async () => {
      for (const [code, status, message] of [
        ["core_unreachable", 503, "Service Unavailable"],
        ["not_initialised", 500, "Internal Server Error"],
      ] as const) {
        const own = () => {
          throw new CountersignError(code, "10.0.0.7 says no");
        };
        const answer = await fetch(`${(await serve({ own, handlesErrors: true })).url}/own`);
        expect([answer.status, await answer.text()]).toEqual([status, JSON.stringify({ message })]);
      }
    });

    test("leaves other errors to the framework", async () => {
      const own = () => {
        throw new RangeError("own");
      };
      const answer = await fetch(`${(await serve({ own, handlesErrors: true })).url}/own`);
      expect(answer.status).toBe(500);
      expect(await answer.text()).not.toBe('{"message":"Internal Server Error"}');
    });
  });
}
