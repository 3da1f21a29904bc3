// The core responds in the same way over a socket and from fetch(): one dispatcher serves both hosts.
import { beforeAll, describe, expect, it } from "vitest";
import { fakeClock } from "../../support/clock.ts";
import { ADMIN_KEY, API_KEY, nested } from "../../support/core.ts";
import { basic, FORM, formOf, startOAuthCore, type FormFields, type OAuthCore } from "../../support/oauth.ts";
import { rawRequest, sendRaw } from "../../support/raw-http.ts";

const clock = fakeClock();
let core: OAuthCore;
beforeAll(async () => {
  core = await startOAuthCore({ publicUrl: "https://core.test", maxRingAge: 1e15 }, { clock });
});

interface Sent {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

interface Received {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

type Headers = Readonly<Record<string, string>>;
const request = (method: string, target: string, headers: Headers = {}, body = ""): Sent => ({
  method,
  target,
  headers: Object.entries(body === "" ? headers : { ...headers, "content-length": String(Buffer.byteLength(body)) }),
  body,
});
const KEY = { "api-key": API_KEY };
const ADMIN = { "api-key": ADMIN_KEY };
const WRONG = { "api-key": "wrong-key-wrong-key-wrong" };
const get = (target: string, headers?: Headers) => request("GET", target, headers);
const head = (target: string, headers?: Headers) => request("HEAD", target, headers);
const create = { payload: { sub: "orders", jti: "1" }, algorithm: "RS256", jwksDomain: "https://a.test", validity: 60 };
const jwt = (fields: object = {}, headers: Headers = {}, target = "/recipe/jwt") =>
  request("POST", target, { ...KEY, ...headers }, JSON.stringify({ ...create, ...fields }));
const GRANT = { grant_type: "client_credentials", audience: "inventory" };
const orders = () => basic("orders", core.credentials["orders"]!);
const form = (target: string, fields: FormFields, headers: Headers = {}) =>
  request("POST", target, { ...FORM, ...headers }, formOf(fields));
const admin = (method: string, target: string, body = "") => request(method, `/admin/v1${target}`, ADMIN, body);
const etagOf = async (target: string) => (await core.call(target)).headers.get("etag")!;
const LARGE = " ".repeat(65_537);

/** Status and request. A function gets values of the running core: secrets and entity tags. */
const REQUESTS: readonly (readonly [status: number, sent: Sent | (() => Sent | Promise<Sent>)])[] = [
  // Public
  [200, get("/hello")],
  [200, get("/")],
  [200, head("/hello")],
  [200, request("DELETE", "/hello")],
  [200, request("POST", "/appid-public/public/hello", {}, "{}")],
  [200, get("/hello", WRONG)],
  [400, get("/appid-ghost/hello")],
  [403, get("/t1/hello")],
  [413, request("POST", "/hello", {}, LARGE)],
  [200, get("/.well-known/jwks.json")],
  [200, head("/.well-known/jwks.json")],
  [200, get("/.well-known/jwks-all.json?a=b#c")],
  [200, get("/appid-PUBLIC/.well-known/jwks.json")],
  [200, get("/.well-known/revocations")],
  [200, get("/.well-known/oauth-authorization-server")],
  [200, head("/.well-known/openid-configuration")],
  [304, async () => get("/.well-known/jwks.json", { "if-none-match": await etagOf("/.well-known/jwks.json") })],
  [304, async () => head("/.well-known/revocations", { "if-none-match": await etagOf("/.well-known/revocations") })],
  [304, get("/.well-known/jwks-all.json", { "if-none-match": "*" })],
  [200, get("/.well-known/jwks-all.json", { "if-none-match": '"other"' })],
  [400, get("/appid-ghost/.well-known/jwks.json")],
  [400, head("/appid-ghost/.well-known/jwks.json")],
  [403, get("/t1/.well-known/revocations")],
  [404, get("/t1/.well-known/revocations", { "cdi-version": "2.21" })],
  [404, get("/.well-known/nothing")],
  [405, request("POST", "/.well-known/jwks.json", {}, "{}")],
  [405, request("OPTIONS", "/.well-known/revocations")],
  // The driver interface
  [200, get("/apiversion?websiteDomain=a", KEY)],
  [200, head("/apiversion", KEY)],
  [200, get("/apiversion", { authorization: `Bearer ${API_KEY}` })],
  [200, get("/apiversion", { ...KEY, "cdi-version": "2.7" })],
  [400, get("/apiversion", { ...KEY, "cdi-version": "2.6" })],
  [400, get("/apiversion", { ...KEY, "cdi-version": "nonsense" })],
  [401, get("/apiversion")],
  [401, head("/apiversion")],
  [401, get("/apiversion", WRONG)],
  [401, get("/apiversion", ADMIN)],
  [405, request("PATCH", "/apiversion", KEY)],
  [405, head("/recipe/jwt", KEY)],
  [401, request("DELETE", "/recipe/jwt")],
  [200, get("/recipe/jwt/jwks", KEY)],
  [200, jwt()],
  [200, jwt({ useStaticSigningKey: false })],
  [200, jwt({ useStaticSigningKey: false }, { "cdi-version": "2.20" })],
  [200, jwt({ algorithm: "none" })],
  [200, jwt({ payload: { jti: "1", text: "ü€😀" } }, {}, "/public/recipe/jwt")],
  [400, jwt({ payload: [] })],
  [400, jwt({ validity: 0 })],
  [400, jwt({ validity: 1e15 })],
  [400, jwt({ payload: { iss: 1 } })],
  [400, jwt({ payload: { text: "x".repeat(9_000) } })],
  [400, request("POST", "/recipe/jwt", KEY, "nope")],
  [400, request("POST", "/recipe/jwt", KEY)],
  [400, request("POST", "/recipe/jwt", KEY, nested(20))],
  [413, request("POST", "/recipe/jwt", KEY, LARGE)],
  [401, request("POST", "/recipe/jwt", {}, LARGE)],
  [401, jwt({}, WRONG)],
  [400, jwt({}, {}, "/appid-ghost/recipe/jwt")],
  [401, jwt({}, WRONG, "/appid-ghost/recipe/jwt")],
  [403, jwt({}, {}, "/t1/recipe/jwt")],
  [404, jwt({}, { "cdi-version": "2.21" }, "/t1/recipe/jwt")],
  [403, () => jwt({ audience: "unknown" }, { "api-key": core.credentials["orders"]! })],
  [403, () => jwt({ payload: { sub: "other" }, audience: "inventory" }, { "api-key": core.credentials["orders"]! })],
  [400, () => jwt({ audience: 1 }, { "api-key": core.credentials["orders"]! })],
  [200, request("PUT", "/recipe/multitenancy/app/v2", ADMIN, '{"appId":"public"}')],
  [400, request("PUT", "/recipe/multitenancy/app/v2", ADMIN, '{"appId":""}')],
  [400, request("PUT", "/recipe/multitenancy/app/v2", ADMIN, '{"appId":1}')],
  [403, request("PUT", "/recipe/multitenancy/app/v2", KEY, '{"appId":"a"}')],
  [200, get("/recipe/multitenancy/app/list/v2", ADMIN)],
  [403, request("POST", "/recipe/multitenancy/app/remove", ADMIN, '{"appId":"public"}')],
  [200, request("POST", "/recipe/multitenancy/app/remove", ADMIN, '{"appId":"gone"}')],
  [404, get("/nothing", KEY)],
  [404, get("//hello", KEY)],
  [404, get("/recipe%2fjwt", KEY)],
  [200, get("/x/%2e%2e/recipe/jwt/jwks", KEY)],
  [401, get("/hello;x")],
  // OAuth
  [200, () => form("/oauth/token", GRANT, orders())],
  [200, () => form("/oauth/token", { ...GRANT, client_id: "orders", client_secret: core.credentials["orders"]! })],
  [200, () => form("/appid-public/oauth/token?", { ...GRANT, scope: "stock:read" }, orders())],
  [401, form("/oauth/token", GRANT)],
  [401, form("/oauth/token", GRANT, basic("orders", "wrong"))],
  [401, () => form("/appid-ghost/oauth/token", GRANT, orders())],
  [401, () => form("/t1/oauth/token", GRANT, orders())],
  [400, () => form("/oauth/token", {}, orders())],
  [400, () => form("/oauth/token", { ...GRANT, client_secret: "x" }, orders())],
  [400, () => form("/oauth/token", { ...GRANT, audience: "unknown" }, orders())],
  [400, () => form("/oauth/token", { ...GRANT, resource: ["a", "b"] }, orders())],
  [400, () => request("POST", "/oauth/token", { ...orders(), "content-type": "application/json" }, "{}")],
  [400, () => request("POST", "/oauth/token", { ...orders(), ...FORM }, `grant_type=${"a".repeat(70_000)}`)],
  [405, get("/oauth/token")],
  [405, head("/oauth/introspect")],
  [405, request("PUT", "/oauth/revoke", KEY, "a")],
  [200, () => form("/oauth/introspect", { token: "x" }, orders())],
  [200, async () => form("/oauth/introspect", { token: await core.accessToken() }, KEY)],
  [401, form("/oauth/introspect", { token: "x" }, ADMIN)],
  [400, () => form("/oauth/introspect", { token: "x" }, { ...orders(), ...KEY })],
  [200, () => form("/oauth/revoke", { token: "x" }, orders())],
  [400, () => form("/oauth/revoke", {}, orders())],
  [400, async () => form("/oauth/revoke", { token: await core.mint() }, orders())],
  [401, get("/oauth/nothing")],
  [404, get("/oauth/nothing", KEY)],
  // Administration
  [200, admin("GET", "/status")],
  [200, admin("HEAD", "/status")],
  [200, admin("GET", "/apps")],
  [200, admin("GET", "/apps/public/keys")],
  [200, admin("GET", "/apps/public/services/orders")],
  [200, admin("GET", "/apps/public/policy")],
  [200, admin("POST", "/apps/public/policy/test", '{"caller":"orders","callee":"inventory"}')],
  [400, admin("POST", "/apps/public/policy/test", '{"caller":"orders"}')],
  [400, admin("POST", "/apps/public/policy/diff", '{"text":"services: ["}')],
  [400, admin("POST", "/apps/public/services", "nope")],
  [400, admin("POST", "/apps/public/services", '{"name":"a","other":1}')],
  [413, admin("POST", "/apps/public/services", JSON.stringify({ name: LARGE }))],
  [413, admin("PUT", "/apps/public/policy", " ".repeat(600_000))],
  [404, admin("GET", "/apps/ghost/keys")],
  [404, admin("GET", "/apps/public/services/ghost")],
  [404, admin("DELETE", "/status")],
  [404, admin("GET", "")],
  [401, get("/admin/v1/status")],
  [401, head("/admin/v1/status")],
  [401, get("/admin/v1/status", KEY)],
  [401, get("/admin/v1/nothing", WRONG)],
  [404, get("/admin/v2/status", KEY)],
  [404, get("/appid-public/admin/v1/status", KEY)],
];

describe("a request gets the same response over a socket and from fetch()", () => {
  it.each(REQUESTS.map(([status, sent]) => [typeof sent === "function" ? "" : nameOf(sent), status, sent] as const))(
    "%s -> %i",
    async (_name, status, described) => {
      const sent = typeof described === "function" ? await described() : described;
      clock.advance(60_000); // no address is throttled
      const [overSocket, fromFetch] = [await sendOverSocket(sent), await sendToFetch(sent)];
      expect(overSocket.status).toBe(status);
      expect(overSocket.headers["x-content-type-options"]).toBe("nosniff");
      expect(fromFetch).toEqual(overSocket);
    },
  );
});

function nameOf({ method, target, headers }: Sent): string {
  return `${method} ${target} ${headers.map(([name, value]) => `${name}: ${value.slice(0, 20)}`).join(", ")}`;
}

async function sendOverSocket({ method, target, headers, body }: Sent): Promise<Received> {
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  const answer = await sendRaw(core.port, Buffer.from(rawRequest(`${method} ${target}`, lines, body)));
  return comparable(answer.status, answer.headers, answer.body);
}

async function sendToFetch({ method, target, headers, body }: Sent): Promise<Received> {
  const init = { method, headers: headers.map(([name, value]) => [name, value] as [string, string]) };
  const sent = new Request(core.url + target, body === "" ? init : { ...init, body });
  const response = await core.fetch(sent);
  return comparable(response.status, response.headers, Buffer.from(await response.arrayBuffer()).toString("latin1"));
}

const OF_THE_CONNECTION = new Set(["date", "connection", "keep-alive"]);

/** Returns everything of a response that is constant, so not signatures and token IDs. */
function comparable(status: number, headers: Iterable<[string, string]>, body: string): Received {
  const kept = [...headers].filter(([name]) => !OF_THE_CONNECTION.has(name));
  const text = body
    .replaceAll(/eyJ[\w-]+\.(eyJ[\w-]+)\.[\w-]+/g, (_jwt, claims: string) =>
      Buffer.from(claims, "base64url").toString(),
    )
    .replaceAll(/(jti\\?":\\?")[\w-]{36}/g, "$1");
  return { status, headers: Object.fromEntries(kept), body: text };
}
