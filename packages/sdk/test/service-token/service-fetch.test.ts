// A service's token on its calls: a core and callees on real sockets.
import { decodeJwt } from "jose";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { buildCountersign, type Countersign } from "../../src/instance/countersign.ts";
import { createServiceFetch, getServiceToken, init } from "../../src/index.ts";
import { deadAddress, listen, readBody, type TestServer } from "../support/http.ts";
import { appInfo, closingInstance, forgetDefaultInstance } from "../support/instances.ts";
import { tokenBy } from "../support/keys.ts";
import { startStandInCore, type StandInCore } from "../support/stand-in-core.ts";

const API_KEY = "an-api-key-of-20-characters";
const CREDENTIAL = `cs_orders_${"r".repeat(43)}`;

let core: StandInCore;
beforeEach(async () => {
  core = await startStandInCore();
  core.tokenIds = true;
});
afterEach(forgetDefaultInstance);

function instance(connectionURI = core.url, apiKey = API_KEY, appName = "orders"): Countersign {
  const config = { appInfo: { ...appInfo, appName }, core: { connectionURI, apiKey } };
  return closingInstance(buildCountersign(config).countersign);
}

/** A callee, and the tokens that it received. */
interface Callee extends TestServer {
  readonly tokens: (string | undefined)[];
  readonly bodies: string[];
  /** Sets its response to later requests. */
  status: number | ((token: string | undefined) => number);
}

async function startCallee(): Promise<Callee> {
  const server = await listen((req, res) => {
    const token = req.headers.authorization?.replace(/^Bearer /, "");
    callee.tokens.push(token);
    void readBody(req).then((body) => {
      callee.bodies.push(body);
      const { status } = callee;
      res.writeHead(typeof status === "number" ? status : status(token)).end("answer");
    });
  });
  const callee: Callee = Object.assign(server, { tokens: [], bodies: [], status: 200 });
  return callee;
}

describe("a call", () => {
  test("is sent with the service's token, which simultaneous calls request from the core once", async () => {
    const callee = await startCallee();
    const call = instance().createServiceFetch();
    const answers = await Promise.all(Array.from({ length: 50 }, () => call(`${callee.url}/stock`)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 50 }, () => 200));
    expect(new Set(callee.tokens).size).toBe(1);
    expect(decodeJwt(callee.tokens[0]!)).toMatchObject({ source: "microservice", sub: "orders" });
    expect(core.calls).toHaveLength(1);
  });

  test("otherwise behaves like fetch: method, headers, body, Request, URL", async () => {
    const callee = await startCallee();
    const call = instance().createServiceFetch();
    const headers = { "x-trace": "t" };
    for (const send of [
      () => call(callee.url, { method: "POST", headers, body: "text" }),
      () => call(new URL(callee.url), { method: "POST", headers: new Headers(headers), body: Buffer.from("text") }),
      () => call(callee.url, { method: "POST", headers: [["X-Trace", "t"]], body: new URLSearchParams("text") }),
      () => call(new Request(callee.url, { method: "POST", headers, body: "text" })),
      () =>
        call(new Request(callee.url, { method: "PUT", headers: { a: "1" } }), {
          method: "POST",
          headers,
          body: "text",
        }),
    ]) {
      expect(await (await send()).text()).toBe("answer");
      const request = callee.requests.at(-1)!;
      expect([request.method, request.headers["x-trace"], request.headers["a"]]).toEqual(["POST", "t", undefined]);
      expect(callee.tokens.at(-1)).toBe(callee.tokens[0]);
      expect(callee.bodies.at(-1)).toMatch(/^text=?$/);
    }
  });

  test("leaves its own Authorization header unchanged, and requests no token", async () => {
    const callee = await startCallee();
    callee.status = 401;
    const call = instance().createServiceFetch();
    for (const send of [
      () => call(callee.url, { headers: { AUTHORIZATION: "Basic dTpw" } }),
      () => call(callee.url, { headers: new Headers({ authorization: "Basic dTpw" }) }),
      () => call(new Request(callee.url, { headers: { authorization: "Basic dTpw" } })),
    ]) {
      expect((await send()).status).toBe(401);
      expect(callee.tokens.at(-1)).toBe("Basic dTpw");
    }
    expect(callee.requests).toHaveLength(3); // no retry either
    expect(core.connections()).toBe(0);
  });

  test("without init is an error with that message; a function created before init finds the instance later", async () => {
    const callee = await startCallee();
    const call = createServiceFetch({ audience: "inventory" });
    call.close(); // nothing has started
    for (const error of [call(callee.url), call.ready(), getServiceToken()]) {
      await expect(error).rejects.toMatchObject({ code: "not_initialised" });
    }
    init({ appInfo, core: { connectionURI: core.url } });
    await call.ready();
    expect((await call(callee.url)).status).toBe(200);
    expect(callee.tokens).toEqual([await getServiceToken({ audience: "inventory" })]);
    expect(core.calls).toHaveLength(1);
    call.close();
  });

  test("of an instance without a core is an error with that message", async () => {
    const { createServiceFetch: make } = closingInstance(buildCountersign({ appInfo }).countersign);
    await expect(make()("http://localhost")).rejects.toMatchObject({
      code: "invalid_option",
      message: expect.stringContaining("connectionURI") as string,
    });
  });

  test("that waits for a token ends with its signal, and others continue to wait", async () => {
    let answer = () => {};
    core.intercept = (req, res) => {
      if (req.url !== "/recipe/jwt") return false;
      answer = () => void res.writeHead(400).end("no");
      return true;
    };
    const call = instance().createServiceFetch();
    const abort = new AbortController();
    const aborted = call("http://localhost", { signal: abort.signal });
    const other = call("http://localhost");
    abort.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    await expect(call("http://localhost", { signal: abort.signal })).rejects.toThrow("enough");
    await expect(call.ready({ signal: abort.signal })).rejects.toThrow("enough");
    await vi.waitFor(() => expect(core.count("/recipe/jwt")).toBe(1));
    answer();
    await expect(other).rejects.toMatchObject({ code: "core_refused", status: 400 });
  });
});

describe("the token request", () => {
  const asked = { audience: "inventory", scope: ["stock:read", "stock:reserve"] };

  test("with an API key: the claims", async () => {
    const token = await instance().getServiceToken(asked);
    const claims = { source: "microservice", sub: "orders", aud: "inventory", scope: "stock:read stock:reserve" };
    expect(core.calls).toMatchObject([{ headers: { "api-key": API_KEY } }]);
    expect(core.calls[0]!.body).toEqual({
      payload: claims,
      algorithm: "RS256",
      jwksDomain: "http://localhost:4001",
      validity: 3600,
      useStaticSigningKey: false,
    });
    expect(decodeJwt(token)).toMatchObject({ ...claims, iss: "http://localhost:4001" });
  });

  test("with a service credential: the purpose of the token, and no claim that the core sets", async () => {
    await instance(core.url, CREDENTIAL, "something else").getServiceToken(asked);
    await instance(core.url, CREDENTIAL).getServiceToken();
    expect(core.calls).toMatchObject([{ headers: { "api-key": CREDENTIAL } }, {}]);
    const always = {
      algorithm: "RS256",
      jwksDomain: "http://localhost:4001",
      validity: 3600,
      useStaticSigningKey: false,
    };
    expect(core.calls.map(({ body }) => body)).toEqual([
      { payload: { source: "microservice" }, audience: "inventory", scope: "stock:read stock:reserve", ...always },
      { payload: { source: "microservice" }, ...always },
    ]);
  });

  test.each([["Our Shop"], ["Orders"], ["orders-"], ["9orders"], [""], ["o".repeat(64)]])(
    "an appName of %j is not a service name: the token has no sub, and one warning per process says so",
    async (appName) => {
      vi.resetModules();
      const { buildCountersign: build } = await import("../../src/instance/countersign.ts");
      const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
      const [info, connectionURI] = [{ ...appInfo, appName }, core.url];
      for (const apiKey of [CREDENTIAL, API_KEY, undefined]) {
        const own = closingInstance(build({ appInfo: info, core: { connectionURI, apiKey } }).countersign);
        await own.getServiceToken();
        // The core knows the service of a credential.
        const words = `, got ${JSON.stringify(appName)}; this service's tokens have no sub`;
        const warning = [expect.stringContaining(words), { code: "COUNTERSIGN_NO_SUB" }];
        expect(warned.mock.calls).toEqual(apiKey === CREDENTIAL ? [] : [warning]);
      }
      const token = await instance(core.url, API_KEY, appName).getServiceToken();
      expect(decodeJwt(token).sub).toBeUndefined();
      warned.mockRestore();
    },
  );

  test("one token per audience and scope, shared by all calls with the same", async () => {
    const callee = await startCallee();
    const own = instance();
    const purposes = [{}, { audience: "a" }, { audience: "b" }, { audience: "a", scope: "x" }, { scope: "x" }];
    const tokens = await Promise.all(purposes.map((purpose) => own.getServiceToken(purpose)));
    expect(new Set(tokens).size).toBe(purposes.length);
    for (const [i, purpose] of purposes.entries()) {
      await own.createServiceFetch(purpose)(callee.url);
      expect(callee.tokens.at(-1)).toBe(tokens[i]);
    }
    expect(await own.getServiceToken({ audience: "a", scope: ["x"] })).toBe(tokens[3]);
    expect(core.calls).toHaveLength(purposes.length);
  });

  test.each([
    [{ audience: "" }, /^audience/],
    [{ audience: ["inventory"] }, /^audience/],
    [{ scope: "" }, /^scope/],
    [{ scope: [] }, /^scope/],
    [{ scope: ["a b"] }, /^scope/],
    [{ scope: 'a"b' }, /^scope/],
    [{ scope: 1 }, /^scope/],
    [{ allowHttp: "yes" }, /^allowHttp/],
    [{ audiense: "inventory" }, /^audiense: expected one of the options audience, scope, allowHttp$/],
    [null, /^options/],
  ])("an error in %j throws at creation", async (options, message) => {
    const wrong = options as object;
    expect(() => createServiceFetch(wrong)).toThrow(message);
    expect(() => instance().createServiceFetch(wrong)).toThrow(
      expect.objectContaining({ code: "invalid_option", message: expect.stringMatching(message) as string }) as Error,
    );
  });

  test.each([
    [{ aud: "inventory" }, /^aud: expected/],
    [{ audience: "inventory", allowHttp: true }, /^allowHttp: expected/],
    [{ audience: "" }, /^audience/],
    [{ insteadOf: 1 }, /^insteadOf/],
    ["inventory", /^options/],
    [null, /^options/],
  ])("an error in %j of getServiceToken rejects, and no token is requested", async (options, message) => {
    init({ appInfo, core: { connectionURI: core.url } });
    const error = { code: "invalid_argument", message: expect.stringMatching(message) as string };
    await expect(getServiceToken(options as object)).rejects.toMatchObject(error);
    await expect(instance().getServiceToken(options as object)).rejects.toMatchObject(error);
    expect(core.calls).toHaveLength(0);
  });
});

describe("a 401 of the called service", () => {
  const only = (good: () => string | undefined) => (token: string | undefined) => (token === good() ? 200 : 401);

  test.each<[string, () => RequestInit | undefined, string]>([
    ["no body", () => undefined, ""],
    ["an explicit null", () => ({ method: "POST", body: null }), ""],
    ["text", () => ({ method: "POST", body: "text" }), "text"],
    ["a Buffer", () => ({ method: "POST", body: Buffer.from("text") }), "text"],
    ["an ArrayBuffer", () => ({ method: "POST", body: new TextEncoder().encode("text").buffer }), "text"],
    ["a Blob", () => ({ method: "POST", body: new Blob(["text"]) }), "text"],
    ["a form", () => ({ method: "POST", body: new URLSearchParams({ a: "b" }) }), "a=b"],
  ])("causes one retry with a new token: %s", async (_what, makeInit, body) => {
    const callee = await startCallee();
    callee.status = only(() => callee.tokens[1]);
    const call = instance().createServiceFetch();
    const answer = await call(callee.url, makeInit());
    expect([answer.status, await answer.text()]).toEqual([200, "answer"]);
    expect(callee.bodies).toEqual([body, body]);
    expect(callee.tokens[0]).not.toBe(callee.tokens[1]);
    await call(callee.url);
    expect(callee.tokens[2]).toBe(callee.tokens[1]);
    expect(core.calls).toHaveLength(2);
  });

  test.each<[string, (url: string) => Parameters<typeof fetch>]>([
    ["a stream", (url) => [url, { method: "POST", body: new Blob(["text"]).stream(), duplex: "half" }]],
    [
      "a stream of Node",
      (url) => [
        url,
        { method: "POST", body: Readable.toWeb(Readable.from(["text"])) as ReadableStream, duplex: "half" },
      ],
    ],
    ["a Request with a body", (url) => [new Request(url, { method: "POST", body: "text" })]],
    ["the same, and no other", (url) => [new Request(url, { method: "POST", body: "text" }), { body: null }]],
  ])("is returned if the body cannot be sent again: %s", async (_what, args) => {
    const callee = await startCallee();
    callee.status = 401;
    const answer = await instance().createServiceFetch()(...args(callee.url));
    expect([answer.status, await answer.text(), callee.bodies]).toEqual([401, "answer", ["text"]]);
    expect(core.calls).toHaveLength(1);
  });

  test("to many simultaneous calls causes one new token", async () => {
    const callee = await startCallee();
    const call = instance().createServiceFetch();
    await call.ready();
    const old = await call(callee.url).then(() => callee.tokens[0]);
    callee.status = (token) => (token === old ? 401 : 200);
    const answers = await Promise.all(Array.from({ length: 50 }, () => call(callee.url)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(core.calls).toHaveLength(2);
  });

  test("that no new token fixes causes one token in 5 s, not one per call", async () => {
    const callee = await startCallee();
    callee.status = 401;
    let monotonic = 0;
    const clock = { now: () => monotonic, monotonic: () => monotonic };
    const config = { appInfo, core: { connectionURI: core.url } };
    const call = closingInstance(buildCountersign(config, { clock }).countersign).createServiceFetch();
    for (let i = 0; i < 20; i++) expect((await call(callee.url)).status).toBe(401);
    expect([core.calls.length, callee.tokens.length]).toEqual([2, 21]);
    monotonic += 4_999;
    await call(callee.url);
    expect(core.calls).toHaveLength(2);
    monotonic += 1;
    await call(callee.url);
    expect(core.calls).toHaveLength(3);
  });

  test("is returned if the core issues no new token; the old one stays in use", async () => {
    const callee = await startCallee();
    const call = instance().createServiceFetch();
    await call(callee.url);
    core.intercept = (_req, res) => (res.writeHead(503).end(), true);
    callee.status = 401;
    const answer = await call(callee.url);
    expect([answer.status, await answer.text()]).toEqual([401, "answer"]);
    callee.status = 200;
    expect((await call(callee.url)).status).toBe(200);
    expect(new Set(callee.tokens).size).toBe(1);
  });

  test("is returned if the new token is identical, as with cores that set no jti", async () => {
    core.tokenIds = false;
    vi.spyOn(Date, "now").mockReturnValue(Date.now());
    const callee = await startCallee();
    callee.status = 401;
    expect((await instance().createServiceFetch()(callee.url)).status).toBe(401);
    vi.restoreAllMocks();
    expect([core.calls.length, callee.tokens.length]).toEqual([2, 1]);
  });

  test("other clients can get a new token with getServiceToken({ insteadOf })", async () => {
    const own = instance();
    const refused = await own.getServiceToken();
    const fresh = await own.getServiceToken({ insteadOf: refused });
    expect(fresh).not.toBe(refused);
    expect(await own.getServiceToken()).toBe(fresh);
    expect(await own.getServiceToken({ insteadOf: refused })).toBe(fresh); // another call was faster
    expect(core.calls).toHaveLength(2);
  });
});

describe("S3 a 403 of the called service for a missing scope", () => {
  const CHALLENGE = 'Bearer realm="microservices", error="insufficient_scope"';

  /** A callee that wants stock:reserve, and a core that grants what the policy has at the time. */
  async function reserving(options: { scope?: string } = {}) {
    const policy = { grants: "stock:read" };
    let asked = 0;
    core.intercept = (req, res) => {
      if (req.url !== "/recipe/jwt") return false;
      const jwt = tokenBy(core.key, { scope: policy.grants, jti: String(++asked), iat: 1, exp: 3_601 });
      res.end(JSON.stringify({ status: "OK", jwt }));
      return true;
    };
    const sent: string[] = [];
    const callee = await listen((req, res) => {
      const { scope = "" } = decodeJwt<{ scope?: string }>(req.headers.authorization!.slice(7));
      sent.push(scope);
      const isGood = scope.split(" ").includes("stock:reserve");
      res.writeHead(isGood ? 200 : 403, { "www-authenticate": `${CHALLENGE}, scope="stock:reserve"` }).end("answer");
    });
    let monotonic = 0;
    const clock = { now: () => monotonic, monotonic: () => monotonic };
    const config = { appInfo, core: { connectionURI: core.url, apiKey: CREDENTIAL } };
    const own = closingInstance(buildCountersign(config, { clock }).countersign);
    const call = own.createServiceFetch({ audience: "inventory", ...options });
    return { policy, sent, asked: () => asked, call: () => call(callee.url), pass: (ms: number) => (monotonic += ms) };
  }

  test("S3 is retried with a new token, which has the scopes that the policy granted since then", async () => {
    const { policy, sent, asked, call, pass } = await reserving();
    const refused = await call();
    expect([refused.status, await refused.text()]).toEqual([403, "answer"]);
    expect([sent.length, asked()]).toEqual([1, 2]); // the new token lacked it too, so it was not sent
    policy.grants = "stock:read stock:reserve";
    pass(5_000);
    expect((await call()).status).toBe(200);
    expect(sent.slice(1)).toEqual(["stock:read", "stock:read stock:reserve"]);
    expect((await call()).status).toBe(200);
    expect(asked()).toBe(3);
  });

  test("S3 that the policy still denies causes one token in 5 s, not one per call", async () => {
    const { asked, call, pass } = await reserving();
    for (let i = 0; i < 20; i++) expect((await call()).status).toBe(403);
    expect(asked()).toBe(2);
    pass(5_000);
    for (let i = 0; i < 20; i++) expect((await call()).status).toBe(403);
    expect(asked()).toBe(3);
  });

  test("S3 is returned if the call did not request the scope, because a new token would lack it too", async () => {
    const { policy, asked, call } = await reserving({ scope: "stock:read" });
    policy.grants = "stock:read stock:reserve";
    core.intercept = undefined;
    expect([(await call()).status, asked()]).toEqual([403, 0]);
    expect(core.calls).toHaveLength(1);
  });

  test.each([
    [CHALLENGE], // the caller is not allowed, which no new token fixes
    ['Bearer error="invalid_token", scope="stock:reserve"'],
    [`${CHALLENGE}, scope=""`],
    [undefined],
  ])("and no other 403: %j", async (challenge) => {
    const callee = await listen((_req, res) => {
      if (challenge !== undefined) res.setHeader("www-authenticate", challenge);
      res.writeHead(403).end();
    });
    expect((await instance(core.url, CREDENTIAL).createServiceFetch()(callee.url)).status).toBe(403);
    expect([core.calls.length, callee.requests.length]).toEqual([1, 1]);
  });
});

describe("destinations of the token", () => {
  test("K10 another origin gets no token by a redirect, and its 401 causes no retry", async () => {
    const [callee, other] = [await startCallee(), await startCallee()];
    const call = instance().createServiceFetch();
    for (const status of [301, 302, 303, 307, 308]) {
      const route = await listen((_req, res) => void res.writeHead(status, { location: other.url }).end());
      other.status = 401;
      expect((await call(route.url)).status).toBe(401);
      expect([route.requests.length, route.requests[0]!.headers.authorization]).toEqual([
        1,
        expect.stringMatching(/^Bearer /),
      ]);
    }
    expect(other.tokens).toEqual(Array.from({ length: 5 }, () => undefined));
    expect(core.calls).toHaveLength(1);
    // The token is meant for the same origin.
    const home = await listen((req, res) => {
      if (req.url === "/") return void res.writeHead(307, { location: "/there" }).end();
      void callee.tokens.push(req.headers.authorization);
      res.end();
    });
    expect((await call(home.url)).status).toBe(200);
    expect(callee.tokens).toEqual([expect.stringMatching(/^Bearer /)]);
  });

  test.each([
    ["http://inventory.internal/stock"],
    ["http://10.0.0.7:4002"],
    ["HTTP://inventory.internal"],
    [" http://inventory.internal"],
    ["http:inventory.internal"],
    ["http://localhost.evil.test"],
    ["ftp://inventory.internal"],
    ["data:text/plain,x"],
  ])("K10 over plain HTTP to another host: %j is rejected, and no request is sent", async (url) => {
    const call = instance().createServiceFetch();
    const sent = vi.spyOn(globalThis, "fetch");
    try {
      await expect(call(url)).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.not.stringContaining("Bearer") as string,
      });
      await expect(call(new URL(url))).rejects.toMatchObject({ code: "invalid_argument" });
      expect(sent).not.toHaveBeenCalled();
    } finally {
      sent.mockRestore();
    }
    expect(core.connections()).toBe(0);
  });

  test("with allowHttp, any host over plain HTTP gets the token", async () => {
    const callee = await startCallee();
    const elsewhere = `http://0.0.0.0:${callee.port}`; // this machine by another name
    const own = instance();
    await expect(own.createServiceFetch()(elsewhere)).rejects.toMatchObject({ code: "invalid_argument" });
    expect((await own.createServiceFetch({ allowHttp: true })(elsewhere)).status).toBe(200);
    expect(callee.tokens).toHaveLength(1);
  });
});

test("S6 errors and warnings contain neither the credential nor a token", async () => {
  const warnings: string[] = [];
  const remember = (warning: Error) => void warnings.push(String(warning.stack));
  process.on("warning", remember);
  const unreachable = instance(deadAddress(), CREDENTIAL);
  const abort = AbortSignal.timeout(500);
  const errors = [await unreachable.createServiceFetch()("http://localhost", { signal: abort }).catch(String)];
  const refusing = instance(core.url, CREDENTIAL);
  core.intercept = (_req, res) => (res.writeHead(403).end("no"), true);
  errors.push(await refusing.getServiceToken().catch((error: Error) => error.stack!));
  await new Promise((resolve) => setImmediate(resolve)); // warnings are emitted later
  process.off("warning", remember);
  expect(errors).toHaveLength(2);
  expect(JSON.stringify([errors, warnings])).not.toContain(CREDENTIAL.slice(10));
});
