import express, { type Express, type NextFunction, type Request, type Response } from "express";
import { afterEach, describe, expect, test } from "vitest";
import type { Countersign } from "../../src/countersign.ts";
import { errorHandler, middleware, verifyMicroservice } from "../../src/framework/express.ts";
import { init, type VerifierEvent } from "../../src/index.ts";
import jwt, { createJWT } from "../../src/recipe/jwt.ts";
import { deadAddress, listen, sendRaw, type TestServer } from "../support/http.ts";
import { appInfo, forgetDefaultInstance, instanceAt } from "../support/instances.ts";
import { edKey, rsaKey, tokenBy } from "../support/keys.ts";
import { serveKeys } from "../support/key-server.ts";
import { startStandInCore } from "../support/stand-in-core.ts";

afterEach(forgetDefaultInstance);

const key = edKey();
const now = () => Math.floor(Date.now() / 1000);
const fresh = (claims: object = {}) => tokenBy(key, { iat: now(), exp: now() + 60, ...claims });

interface Callee extends TestServer {
  /** How often the handler behind the guard ran. */
  handled(): number;
}

/** A service with one guarded route, as the examples write it. */
async function calleeWith(
  guard: ReturnType<typeof verifyMicroservice>,
  before: (app: Express) => void = () => {},
): Promise<Callee> {
  let handled = 0;
  const app = express();
  before(app);
  app.get("/stock", guard, (req: Request, res: Response) => {
    handled++;
    res.json({ askedBy: req.caller?.service, claims: req.caller?.claims });
  });
  app.use(errorHandler());
  app.use((_error: unknown, _req: Request, res: Response, _next: NextFunction) => void res.status(599).end());
  return Object.assign(await listen(app), { handled: () => handled });
}

async function guarded(): Promise<Callee> {
  const keys = await serveKeys(key);
  return calleeWith(verifyMicroservice({ jwksUri: keys.jwksUri }));
}

const ask = (callee: TestServer, authorization?: string) =>
  fetch(`${callee.url}/stock`, { headers: authorization === undefined ? {} : { authorization } });

describe("verifyMicroservice", () => {
  test("lets a good token through and names the caller", async () => {
    const callee = await guarded();
    const answer = await ask(callee, `Bearer ${fresh()}`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ askedBy: "orders", claims: { source: "microservice" } });
  });

  test.each([
    ["no token", undefined, 401, 'Bearer realm="microservices"'],
    ["another scheme", "Basic dTpw", 401, 'Bearer realm="microservices"'],
    ["bad grammar", "Bearer a b", 400, 'Bearer realm="microservices", error="invalid_request"'],
    ["two tokens in one header", "Bearer a, Bearer b", 400, 'Bearer realm="microservices", error="invalid_request"'],
    ["no JWT", "Bearer abc", 401, 'Bearer realm="microservices", error="invalid_token"'],
    ["an expired token", `Bearer ${fresh({ exp: 1 })}`, 401, 'Bearer realm="microservices", error="invalid_token"'],
    [
      "a forged token",
      `Bearer ${tokenBy(edKey(), { exp: now() + 60 })}`,
      401,
      'Bearer realm="microservices", error="invalid_token"',
    ],
    [
      "an end user's token",
      `Bearer ${fresh({ source: "user" })}`,
      403,
      'Bearer realm="microservices", error="insufficient_scope"',
    ],
  ])(
    "refuses %s by RFC 6750, and tells no more than the class of error",
    async (_name, authorization, status, challenge) => {
      const callee = await guarded();
      const answer = await ask(callee, authorization);
      expect(answer.status).toBe(status);
      expect(answer.headers.get("www-authenticate")).toBe(challenge);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
      const messages: Record<number, string> = { 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden" };
      expect(await answer.text()).toBe(JSON.stringify({ message: messages[status] }));
      expect(callee.handled()).toBe(0);
    },
  );

  test("an optional route goes on without a caller for no token and for a user's, and refuses a bad one", async () => {
    const keys = await serveKeys(key);
    const refusals: string[] = [];
    const onEvent = (event: VerifierEvent) => void (event.type === "refused" && refusals.push(event.reason));
    const callee = await calleeWith(verifyMicroservice({ jwksUri: keys.jwksUri, optional: true, onEvent }));
    const statusAndBody = async (authorization?: string) => {
      const answer = await ask(callee, authorization);
      return [answer.status, ((await answer.json()) as { askedBy?: string }).askedBy];
    };
    expect(await statusAndBody()).toEqual([200, undefined]);
    expect(await statusAndBody(`Bearer ${fresh({ source: "user" })}`)).toEqual([200, undefined]);
    expect(await statusAndBody(`Bearer ${fresh()}`)).toEqual([200, "orders"]);
    expect(refusals).toEqual([]);
    for (const bad of ["Bearer a b", `Bearer ${fresh({ exp: 1 })}`, `Bearer ${fresh({ source: "user", aud: "x" })}`])
      expect((await ask(callee, bad)).status).toBeGreaterThanOrEqual(400);
    expect(refusals).toEqual(["authorization_malformed", "token_expired", "audience_mismatch"]);
    expect(() => verifyMicroservice({ optional: "yes" as unknown as boolean })).toThrow(/optional/);
  });

  test("503 without a challenge while no keys can be had", async () => {
    const callee = await calleeWith(verifyMicroservice({ jwksUri: `${await deadAddress()}/keys.json` }));
    const answer = await ask(callee, `Bearer ${fresh()}`);
    expect([answer.status, answer.headers.get("www-authenticate"), answer.headers.get("retry-after")]).toEqual([
      503,
      null,
      "1",
    ]);
    expect(await answer.json()).toEqual({ message: "Service Unavailable" });
  });

  test("H1 two Authorization headers are refused, also where one of them is good", async () => {
    const callee = await guarded();
    const good = `Authorization: Bearer ${fresh()}`;
    const send = (...fields: string[]) => sendRaw(callee.port, ["GET /stock HTTP/1.1", "Host: a", ...fields]);
    expect((await send(good)).status).toBe(200);
    for (const fields of [
      [good, good],
      [good, "Authorization: Bearer x"],
      ["authorization: Basic dTpw", good],
      [good, "Authorization:"],
    ]) {
      const answer = await send(...fields);
      expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([
        400,
        'Bearer realm="microservices", error="invalid_request"',
      ]);
      expect(answer.body).toContain("Bad Request");
    }
    expect(callee.handled()).toBe(1);
  });

  test("H2 what comes over the wire between scheme and token is one blank", async () => {
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
  });

  test("H3 a token in the query or a cookie is no token", async () => {
    const callee = await guarded();
    const token = fresh();
    const answer = await fetch(`${callee.url}/stock?access_token=${token}`, { headers: { cookie: `token=${token}` } });
    expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([401, 'Bearer realm="microservices"']);
  });

  test("an option that cannot work is found out when the route is made", () => {
    expect(() => verifyMicroservice({ clockTolerance: 301 })).toThrow(/clockTolerance/);
  });

  test("without options it trusts the core of init, which may come after the route", async () => {
    const core = await startStandInCore();
    const callee = await calleeWith(verifyMicroservice());
    init({ appInfo, supertokens: { connectionURI: core.url }, recipeList: [jwt.init()] });
    const result = await createJWT({ source: "microservice", service: "orders" });
    const answer = await ask(callee, `Bearer ${result.status === "OK" ? result.jwt : ""}`);
    expect(await answer.json()).toMatchObject({ askedBy: "orders" });
    expect(core.requests.map((request) => request.url!.split("?")[0])).toEqual([
      "/apiversion",
      "/recipe/jwt",
      "/.well-known/revocations",
      "/.well-known/jwks-all.json",
      "/.well-known/jwks.json",
    ]);
  });

  test("without init and without keys the request is an error of the service", async () => {
    const callee = await calleeWith(verifyMicroservice());
    expect((await ask(callee, `Bearer ${fresh()}`)).status).toBe(500);
    expect(callee.handled()).toBe(0);
  });

  test("takes an instance of its own, whose core's full set it reads", async () => {
    const core = await startStandInCore();
    core.fullSet = [core.key.jwk, key.jwk];
    const callee = await calleeWith(verifyMicroservice({ countersign: instanceAt(core.url) }));
    expect((await ask(callee, `Bearer ${fresh()}`)).status).toBe(200);
  });
});

describe("middleware", () => {
  async function serviceWith(countersign: Countersign | undefined, mount = "/"): Promise<TestServer> {
    const app = express();
    app.use(mount, countersign === undefined ? middleware() : middleware({ countersign }));
    app.get("/own", (_req, res) => void res.json({ own: true }));
    app.use(errorHandler());
    return listen(app);
  }

  test("serves the front interface, and lets everything else go on", async () => {
    const core = await startStandInCore();
    const service = await serviceWith(instanceAt(core.url));
    const jwks = await fetch(`${service.url}/auth/jwt/jwks.json?x=1`);
    expect(await jwks.text()).toBe(JSON.stringify({ keys: [core.key.jwk] }));
    expect(jwks.headers.get("cache-control")).toBe("max-age=60, must-revalidate");
    expect(jwks.headers.get("access-control-allow-origin")).toBe("*");
    expect(await (await fetch(`${service.url}/own`)).json()).toEqual({ own: true });
    for (const [method, path] of [
      ["POST", "/auth/jwt/jwks.json"],
      ["GET", "/auth/jwt"],
      ["GET", "/jwt/jwks.json"],
      ["GET", "/auth/jwt/jwks.jsonx"],
    ]) {
      expect((await fetch(service.url + path, { method: method! })).status, path).toBe(404);
    }
  });

  test("HEAD has the headers and no body", async () => {
    const core = await startStandInCore();
    const service = await serviceWith(instanceAt(core.url));
    const answer = await fetch(`${service.url}/auth/jwt/jwks.json`, { method: "HEAD" });
    expect([answer.status, answer.headers.get("cache-control"), await answer.text()]).toEqual([
      200,
      "max-age=60, must-revalidate",
      "",
    ]);
  });

  test("finds its paths under a mount path", async () => {
    const core = await startStandInCore();
    const service = await serviceWith(instanceAt(core.url), "/auth");
    expect((await fetch(`${service.url}/auth/jwt/jwks.json`)).status).toBe(200);
  });

  test("a route that an override removed is 404", async () => {
    const core = await startStandInCore();
    const service = await serviceWith(
      instanceAt(core.url, { override: { apis: (original) => ({ ...original, getJWKSGET: undefined }) } }),
    );
    expect((await fetch(`${service.url}/auth/jwt/jwks.json`)).status).toBe(404);
    expect(core.connections()).toBe(0);
  });

  test("serves the instance of init, and is an error before it", async () => {
    const core = await startStandInCore();
    const service = await serviceWith(undefined);
    expect((await fetch(`${service.url}/auth/jwt/jwks.json`)).status).toBe(500);
    init({ appInfo, core: { connectionURI: core.url }, recipeList: [jwt.init()] });
    expect((await fetch(`${service.url}/auth/jwt/jwks.json`)).status).toBe(200);
  });

  test("an override sees express's own request", async () => {
    const core = await startStandInCore();
    const seen: unknown[] = [];
    const service = await serviceWith(
      instanceAt(core.url, {
        override: {
          apis: (original) => ({
            ...original,
            async getJWKSGET(input) {
              const { req, res } = input.options;
              seen.push(
                req.getMethod(),
                req.getOriginalURL(),
                req.getHeaderValue("X-Trace"),
                req.getHeaderValue("x-none"),
                req.getKeyValueFromQuery("q"),
                req.getKeyValueFromQuery("none"),
              );
              seen.push((req.original as Request).path, typeof (res.original as Response).json);
              return original.getJWKSGET!(input);
            },
          }),
        },
      }),
    );
    await fetch(`${service.url}/auth/jwt/jwks.json?q=a%20b`, { headers: { "x-trace": "t" } });
    expect(seen).toEqual([
      "GET",
      "/auth/jwt/jwks.json?q=a%20b",
      "t",
      undefined,
      "a b",
      undefined,
      "/auth/jwt/jwks.json",
      "function",
    ]);
  });

  test("another service verifies by this service's front interface alone", async () => {
    const core = await startStandInCore();
    const service = await serviceWith(instanceAt(core.url));
    const result = await instanceAt(core.url).createJWT({ source: "microservice", sub: "orders" });
    const callee = await calleeWith(
      verifyMicroservice({ jwksUri: `${service.url}/auth/jwt/jwks.json`, issuer: appInfo.apiDomain }),
    );
    expect((await ask(callee, `Bearer ${result.status === "OK" ? result.jwt : ""}`)).status).toBe(200);
    expect((await ask(callee, `Bearer ${tokenBy(rsaKey(core.key.kid), { exp: now() + 60 })}`)).status).toBe(401);
  });
});

describe("errorHandler", () => {
  test("answers this package's errors without their text", async () => {
    const app = express();
    app.use(middleware({ countersign: instanceAt(await deadAddress()) }));
    app.use(errorHandler());
    const service = await listen(app);
    const answer = await fetch(`${service.url}/auth/jwt/jwks.json`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toBe('{"message":"Service Unavailable"}');
  });

  test("leaves other errors alone", async () => {
    const app = express();
    app.get("/", () => {
      throw new Error("own");
    });
    app.use(errorHandler());
    app.use(
      (error: Error, _req: Request, res: Response, _next: NextFunction) => void res.status(418).end(error.message),
    );
    const answer = await fetch((await listen(app)).url);
    expect([answer.status, await answer.text()]).toEqual([418, "own"]);
  });
});
