import { describe, expect, test } from "vitest";
import { normalizeAppInfo } from "../../src/config/app-info.ts";
import { createCoreClient, type CoreConfig, type CoreRequest } from "../../src/core-client/core-client.ts";
import { PATHS } from "../../src/protocol/api.ts";
import { CountersignError } from "../../src/protocol/errors.ts";
import { deadAddress } from "../support/http.ts";
import { appInfo } from "../support/instances.ts";
import { startStandInCore } from "../support/stand-in-core.ts";

const API_KEY = "an-api-key-of-20-characters";
const body = { payload: { a: 1 }, algorithm: "RS256", jwksDomain: "http://localhost:4001", validity: 60 };
const clientOf = (connectionURI: string, more: Partial<CoreConfig> = {}) =>
  createCoreClient({ connectionURI, ...more }, normalizeAppInfo(appInfo));

async function errorOf(promise: Promise<unknown>): Promise<CountersignError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CountersignError);
  return error as CountersignError;
}

describe("the version of the driver interface", () => {
  test("is requested once, also by simultaneous calls, and all later requests send the largest common one", async () => {
    const core = await startStandInCore();
    const client = clientOf(core.url);
    await Promise.all([1, 2, 3].map(() => client.call("POST", PATHS.jwt, body, {})));
    await client.call("POST", PATHS.jwt, body, {});
    expect(core.count("/apiversion")).toBe(1);
    expect(core.calls.map(({ headers }) => headers["cdi-version"])).toEqual(["5.4", "5.4", "5.4", "5.4"]);
    const query = new URL(core.requests[0]!.url!, core.url).searchParams;
    expect(Object.fromEntries(query)).toEqual({
      apiDomain: "http://localhost:4001",
      websiteDomain: "http://localhost:3000",
    });
    expect(core.requests[0]!.headers["cdi-version"]).toBeUndefined();
  });

  test.each([
    [["2.9", "2.21", "2.10"], "2.21"],
    [["5.6", "5.7", "6.0"], "5.6"],
    [["3.1", "3.0"], "3.1"],
  ])("chosen from %j is %s", async (versions, expected) => {
    const core = await startStandInCore();
    core.versions = versions;
    await clientOf(core.url).call("POST", PATHS.jwt, body, {});
    expect(core.calls[0]!.headers["cdi-version"]).toBe(expected);
  });

  test.each([[[]], [["6.0", "2.6"]], ["5.4"], [[5.4]], [null]])(
    "if none is common (%j), the call fails, and the next call requests the versions again",
    async (versions) => {
      const core = await startStandInCore();
      core.versions = versions;
      const client = clientOf(core.url);
      const error = await errorOf(client.call("POST", PATHS.jwt, body, {}));
      expect([error.code, error.message]).toEqual([
        "core_refused",
        expect.stringContaining("no driver interface version"),
      ]);
      core.versions = ["5.4"];
      await client.call("POST", PATHS.jwt, body, {});
      expect(core.count("/apiversion")).toBe(2);
    },
  );
});

describe("requests", () => {
  test("carry the API key, rid and a JSON body under the base path", async () => {
    const core = await startStandInCore({ apiKey: API_KEY, basePath: "/base/appid-a" });
    const answer = await clientOf(`${core.url}/base/appid-a/`, { apiKey: API_KEY }).call("POST", PATHS.jwt, body, {});
    expect(answer).toMatchObject({ status: "OK", jwt: expect.any(String) as string });
    const { headers } = core.calls[0]!;
    expect([headers["api-key"], headers["rid"], headers["content-type"]]).toEqual([
      API_KEY,
      "jwt",
      "application/json; charset=utf-8",
    ]);
    expect(core.calls[0]!.body).toEqual(body);
    expect(core.requests.map((request) => request.url!.split("?")[0])).toEqual([
      "/base/appid-a/apiversion",
      "/base/appid-a/recipe/jwt",
    ]);
  });

  test("a response other than 200 rejects with status and trimmed body, and without the key", async () => {
    const core = await startStandInCore({ apiKey: API_KEY });
    const error = await errorOf(
      clientOf(core.url, { apiKey: "a-wrong-api-key-of-some-length" }).call("POST", PATHS.jwt, body, {}),
    );
    expect(error).toMatchObject({ code: "core_refused", status: 401 });
    expect(error.message).toMatch(/status 401: Invalid API key \(/);
    expect(error.message).not.toContain("wrong-api-key");
  });

  test.each([
    [
      `cs_orders_${"r".repeat(43)}`,
      /unknown in this app, expired or revoked, or its service is disabled or deleted\)$/,
    ],
    ["another-key-of-20-characters", /\(the core does not know this apiKey\)$/],
    [undefined, /\(no apiKey is set\)$/],
  ])(
    "S6 the error for a 401 says what might be wrong with the key, and never contains the key: %j",
    async (apiKey, words) => {
      const core = await startStandInCore({ apiKey: API_KEY });
      const first = await errorOf(clientOf(core.url, { apiKey }).call("POST", PATHS.jwt, body, {}));
      const client = clientOf(core.url, { apiKey });
      core.intercept = (req, res) => req.method === "GET" && (res.end('{"versions":["5.4"]}'), true);
      const later = await errorOf(client.call("POST", PATHS.jwt, body, {}));
      for (const { message, stack, status } of [first, later]) {
        expect([status, message]).toEqual([401, expect.stringMatching(words)]);
        if (apiKey !== undefined) expect(stack).not.toContain(apiKey.slice(12));
      }
      core.intercept = (_req, res) => (res.writeHead(403).end("no"), true);
      expect((await errorOf(client.call("POST", PATHS.jwt, body, {}))).message).toMatch(/403: no$/);
    },
  );

  test.each([[""], ["<html>"], ["[]"], ['{"a":1,"a":2}']])(
    "a 200 with the body %j is an invalid response",
    async (text) => {
      const core = await startStandInCore();
      const client = clientOf(core.url);
      core.intercept = (req, res) => req.url === PATHS.jwt && (res.end(text), true);
      expect(await errorOf(client.call("POST", PATHS.jwt, body, {}))).toMatchObject({
        code: "core_refused",
        status: 200,
      });
    },
  );
});

describe("several hosts", () => {
  test("are used in turn", async () => {
    const cores = [await startStandInCore(), await startStandInCore(), await startStandInCore()];
    const client = clientOf(cores.map((core) => core.url).join(";"));
    for (let i = 0; i < 8; i++) await client.call("POST", PATHS.jwt, body, {});
    // Nine requests: one is for the version.
    expect(cores.map((core) => core.requests.length)).toEqual([3, 3, 3]);
  });

  test("a host that refuses the connection is skipped", async () => {
    const core = await startStandInCore();
    const client = clientOf(`${deadAddress()}; ${core.url} ;${deadAddress()};`);
    for (let i = 0; i < 6; i++) expect(await client.call("POST", PATHS.jwt, body, {})).toMatchObject({ status: "OK" });
    expect(core.calls).toHaveLength(6);
  });

  test("a host that closes the connection is skipped", async () => {
    const [bad, good] = [await startStandInCore(), await startStandInCore()];
    bad.intercept = (req) => (req.socket.destroy(), true);
    expect(await clientOf(`${bad.url};${good.url}`).call("POST", PATHS.jwt, body, {})).toMatchObject({ status: "OK" });
  });

  test("the call fails only if all hosts failed", async () => {
    const client = clientOf(`${deadAddress()};${deadAddress()}`);
    const error = await errorOf(client.call("POST", PATHS.jwt, body, {}));
    expect(error.code).toBe("core_unreachable");
    expect(error.message).toMatch(/cannot reach any host of the core for GET \/apiversion: .*ECONNREFUSED/);
  });

  test("a host that responds with an error is not skipped", async () => {
    const [bad, good] = [await startStandInCore(), await startStandInCore()];
    bad.intercept = (_req, res) => (res.writeHead(500).end("broken"), true);
    expect(await errorOf(clientOf(`${bad.url};${good.url}`).call("POST", PATHS.jwt, body, {}))).toMatchObject({
      code: "core_refused",
      status: 500,
    });
    expect(good.requests).toHaveLength(0);
  });

  test.each([[""], [" "], [";"], [" ; "], [undefined], [7], ["core"], ["http://"], ["a.test;core"], ["file:"]])(
    "a connectionURI of %j is rejected immediately",
    (connectionURI) => {
      expect(() => clientOf(connectionURI as string)).toThrow(
        expect.objectContaining({ code: "invalid_option" }) as Error,
      );
    },
  );
});

describe("429", () => {
  test("is retried with increasing delays until the core accepts the request", async () => {
    const core = await startStandInCore();
    const client = clientOf(core.url);
    const times: number[] = [];
    core.intercept = (req, res) => {
      if (req.url !== PATHS.jwt || times.push(performance.now()) > 3) return false;
      res.writeHead(429).end("Too many requests");
      return true;
    };
    expect(await client.call("POST", PATHS.jwt, body, {})).toMatchObject({ status: "OK" });
    const gaps = times.slice(1).map((time, i) => time - times[i]!);
    expect(gaps.map((gap) => gap > 5)).toEqual([true, true, true]);
    expect([gaps[1]! > 250, gaps[2]! > 500]).toEqual([true, true]);
  });

  test("is retried until the caller's timeout", async () => {
    const core = await startStandInCore();
    core.intercept = (req) => req.url === PATHS.jwt; // no response
    const began = performance.now();
    const error = await errorOf(clientOf(core.url).call("POST", PATHS.jwt, body, {}, 300));
    expect(error).toMatchObject({ code: "core_unreachable", message: expect.stringContaining("timeout") as string });
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test("with a short Retry-After is retried after that time; with a long one it is an error that says how long", async () => {
    const core = await startStandInCore();
    const client = clientOf(core.url);
    const times: number[] = [];
    let retryAfter = "1";
    core.intercept = (req, res) => {
      if (req.url !== PATHS.jwt || times.push(performance.now()) === 2) return false;
      res.writeHead(429, { "retry-after": retryAfter }).end("Too many requests");
      return true;
    };
    expect(await client.call("POST", PATHS.jwt, body, {})).toMatchObject({ status: "OK" });
    expect(times[1]! - times[0]!).toBeGreaterThan(990);
    retryAfter = "30";
    expect(await errorOf(client.call("POST", PATHS.jwt, body, {}))).toMatchObject({ status: 429, retryAfter: 30 });
    expect(times).toHaveLength(3);
  });

  test("is an error after five retries, and no other host gets a request", async () => {
    const [core, other] = [await startStandInCore(), await startStandInCore()];
    core.intercept = (_req, res) => (res.writeHead(429).end("Too many requests"), true);
    expect(await errorOf(clientOf(`${core.url};${other.url}`).call("POST", PATHS.jwt, body, {}))).toMatchObject({
      code: "core_refused",
      status: 429,
    });
    expect([core.requests.length, other.requests.length]).toEqual([6, 0]);
  });
});

describe("networkInterceptor", () => {
  test("receives every request and can change url, headers, params and body", async () => {
    const core = await startStandInCore();
    const seen: CoreRequest[] = [];
    const contexts: unknown[] = [];
    const client = clientOf(core.url, {
      apiKey: API_KEY,
      networkInterceptor(request, userContext) {
        seen.push(structuredClone(request));
        contexts.push(userContext);
        if (request.method !== "POST") return request;
        return {
          ...request,
          url: request.url.replace("/recipe/jwt", "/recipe/jwt?x=1"),
          params: { y: 2, z: true, none: undefined },
          headers: { ...request.headers, "x-trace": "t" },
          body: { ...(request.body as object), validity: 7 },
        };
      },
    });
    await client.call("POST", PATHS.jwt, body, { user: "context" });
    expect(seen).toEqual([
      {
        url: `${core.url}/apiversion`,
        method: "GET",
        headers: { rid: "jwt", "api-key": API_KEY },
        params: { apiDomain: "http://localhost:4001", websiteDomain: "http://localhost:3000" },
      },
      {
        url: `${core.url}/recipe/jwt`,
        method: "POST",
        headers: {
          rid: "jwt",
          "api-key": API_KEY,
          "cdi-version": "5.4",
          "content-type": "application/json; charset=utf-8",
        },
        body,
      },
    ]);
    expect(contexts).toEqual([{}, { user: "context" }]);
    expect(core.requests[1]!.url).toBe("/recipe/jwt?x=1&y=2&z=true");
    expect(core.calls[0]).toMatchObject({ headers: { "x-trace": "t" }, body: { ...body, validity: 7 } });
  });
});

describe("cached documents", () => {
  test("are fetched once per max-age", async () => {
    const core = await startStandInCore();
    const client = clientOf(core.url);
    for (let i = 0; i < 5; i++) expect((await client.getCachedDocument(PATHS.jwks, {})).status).toBe(200);
    expect(core.count(PATHS.jwks)).toBe(1);
    await client.getDocument(PATHS.jwks, {});
    expect(core.count(PATHS.jwks)).toBe(2);
  });

  test.each([
    ["max-age=0", {}],
    ["max-age=60", { disableCoreCallCache: true }],
  ])("are fetched every time with %s and %j", async (cacheControl, more) => {
    const core = await startStandInCore();
    core.cacheControl = cacheControl;
    const client = clientOf(core.url, more);
    for (let i = 0; i < 3; i++) await client.getCachedDocument(PATHS.jwks, {});
    expect(core.count(PATHS.jwks)).toBe(3);
  });

  test("are served from the cache while the core fails or is down", async () => {
    const core = await startStandInCore();
    core.cacheControl = "max-age=0, stale-if-error=86400";
    const client = clientOf(core.url);
    const { text } = await client.getCachedDocument(PATHS.jwks, {});
    core.intercept = (_req, res) => (res.writeHead(500).end("broken"), true);
    expect(await client.getCachedDocument(PATHS.jwks, {})).toMatchObject({ status: 200, text });
    await core.close();
    expect(await client.getCachedDocument(PATHS.jwks, {})).toMatchObject({ status: 200, text });
    expect((await errorOf(client.getCachedDocument(PATHS.jwksAll, {}))).code).toBe("core_unreachable");
  });

  test("are deleted when the core responds that they do not exist", async () => {
    const core = await startStandInCore();
    core.cacheControl = "max-age=0";
    const client = clientOf(core.url);
    await client.getCachedDocument(PATHS.jwks, {});
    core.intercept = (_req, res) => (res.writeHead(404).end(), true);
    expect((await client.getCachedDocument(PATHS.jwks, {})).status).toBe(404);
  });
});

test("plain HTTP to another machine causes a warning, once per host", async () => {
  const warnings: Error[] = [];
  const remember = (warning: Error) => void warnings.push(warning);
  process.on("warning", remember);
  for (let i = 0; i < 3; i++) clientOf("http://core.test:3567;https://core.test;http://localhost:3567");
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", remember);
  expect(warnings.map((warning) => [(warning as NodeJS.ErrnoException).code, warning.message.split(" ")[0]])).toEqual([
    ["COUNTERSIGN_PLAIN_HTTP", "http://core.test:3567"],
  ]);
});
