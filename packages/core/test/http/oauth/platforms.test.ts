// Authentication without a secret: a service presents a token of its platform.
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, SignJWT } from "jose";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ADMIN_KEY, partsOf } from "../../support/core.ts";
import { fakeClock } from "../../support/clock.ts";
import { recordedLog } from "../../support/log.ts";
import { expectInvalidClient, startOAuthCore, type OAuthCore } from "../../support/oauth.ts";
import { callServices } from "../../support/services.ts";

const WORKLOAD = "system:serviceaccount:shop:orders";

/** Signs tokens for workloads and publishes its keys, as Kubernetes and GitHub Actions do. */
interface Platform {
  readonly issuer: string;
  readonly jwks: { keys: object[] };
  readonly asked: string[];
  token(claims?: Record<string, unknown>, made?: { key?: KeyObject; typ?: string }): Promise<string>;
}

const now = () => Math.floor(clock.now() / 1000);

async function startPlatform(): Promise<Platform> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "p", use: "sig", alg: "RS256" }] };
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url!);
    const documents: Record<string, object> = {
      "/.well-known/openid-configuration": { issuer, jwks_uri: `${issuer}/openid/v1/jwks` },
      "/openid/v1/jwks": jwks,
    };
    response.writeHead(Object.hasOwn(documents, request.url!) ? 200 : 404).end(JSON.stringify(documents[request.url!]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    jwks,
    asked,
    token: (claims = {}, { key = privateKey, typ } = {}) =>
      new SignJWT({ iss: issuer, sub: WORKLOAD, aud: ["core"], iat: now(), exp: now() + 3600, ...claims })
        .setProtectedHeader({ alg: "RS256", kid: "p", ...(typ !== undefined && { typ }) })
        .sign(key),
  };
}

/** The wall clock is real, because the core checks fetched tokens against this machine's clock. */
const limit = fakeClock();
const clock = { now: () => Date.now(), monotonic: limit.monotonic };
const log = recordedLog();
let core: OAuthCore;
let cluster: Platform;
beforeAll(async () => {
  core = await startOAuthCore({ maxRingAge: 1e15 }, { clock, log });
  cluster = await startPlatform();
  await trusted({ service: "orders", issuer: cluster.issuer, subject: WORKLOAD, audience: "core" });
});
beforeEach(() => limit.advance(60_000)); // This address has no recent guesses.

const postTrust = (body: object, app = "public") =>
  core.call(`/admin/v1/apps/${app}/trusts`, { method: "POST", apiKey: ADMIN_KEY, body });

/** @returns the ID */
async function trusted(body: object, app?: string): Promise<string> {
  const answer = await postTrust(body, app);
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  return (answer.json["trust"] as { id: string }).id;
}

async function untrusted(id: string): Promise<number> {
  return (await core.call(`/admin/v1/apps/public/trusts/${id}/delete`, { method: "POST", apiKey: ADMIN_KEY })).status;
}

const ask: OAuthCore["postAssertion"] = (...sent) => core.postAssertion(...sent);

describe("a platform's token", () => {
  it("authenticates the service of its workload, any number of times", async () => {
    const token = await cluster.token({ jti: "one" });
    for (const client_id of [undefined, "orders", undefined]) {
      const answer = await ask(token, { client_id });
      expect(partsOf(answer.json["access_token"] as string).claims).toMatchObject({
        sub: "orders",
        client_id: "orders",
        iss: core.url,
        aud: "inventory",
      });
    }
    // The core fetched the keys once, through the discovery document.
    expect(cluster.asked).toEqual(["/.well-known/openid-configuration", "/openid/v1/jwks"]);
  });

  it("can have a single aud, typ JWT, and other claims (GitHub Actions)", async () => {
    const claims = { aud: "core", repository: "shop/orders", run_attempt: "1", nested: { a: [1] } };
    expect((await ask(await cluster.token(claims, { typ: "JWT" }))).status).toBe(200);
  });

  it.each([
    ["another workload", { sub: "system:serviceaccount:shop:billing" }],
    ["a workload whose name has the same prefix", { sub: `${WORKLOAD}-evil` }],
    ["a workload whose name has the same suffix", { sub: `x${WORKLOAD}` }],
    ["the workload in capitals", { sub: WORKLOAD.toUpperCase() }],
    ["no subject", { sub: undefined }],
    ["a list", { sub: [WORKLOAD] }],
    ["the workload, for another audience", { aud: ["https://kubernetes.default.svc"] }],
    ["the workload, without an audience", { aud: undefined }],
    ["the workload, for an audience with the same prefix", { aud: "core2" }],
    ["the workload, without exp", { exp: undefined }],
    ["the workload, expired five minutes ago", () => ({ iat: now() - 3900, exp: now() - 300 })],
    ["the workload, in the future", () => ({ nbf: now() + 600 })],
  ] as [string, object | (() => object)][])("S4 is rejected about %s", async (_, claims) => {
    const made = (typeof claims === "function" ? (claims as () => object)() : claims) as Record<string, unknown>;
    expectInvalidClient(await ask(await cluster.token(made)));
  });

  it("S4 is rejected if another key has signed it, or if it has another type", async () => {
    const foreign = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    expectInvalidClient(await ask(await cluster.token({}, { key: foreign })));
    expectInvalidClient(await ask(await cluster.token({}, { typ: "at+jwt" })));
    expectInvalidClient(await ask(await cluster.token({}), { client_id: "billing" }));
    expectInvalidClient(await ask(await cluster.token({}), { client_id: WORKLOAD }));
  });

  it("T7 of an untrusted issuer is rejected without a request to that issuer", async () => {
    const other = await startPlatform();
    expectInvalidClient(await ask(await other.token()));
    expectInvalidClient(await ask(await other.token({ iss: `${cluster.issuer}/` })));
    expectInvalidClient(await ask(await other.token({ iss: cluster.issuer })));
    expect(other.asked).toEqual([]);
  });

  it("S2 is accepted only in the app that trusts its platform, and not while the service is disabled", async () => {
    await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a1" } });
    await callServices(core, "", { name: "orders" }, "a1");
    expectInvalidClient(await ask(await cluster.token(), {}, "/appid-a1/oauth/token"));
    await callServices(core, "/orders/disable", {});
    expectInvalidClient(await ask(await cluster.token()));
    await callServices(core, "/orders/enable", {});
    expect((await ask(await cluster.token())).status).toBe(200);
  });
});

describe("a subject with a wildcard", () => {
  it.each([
    ["repo:org/app:*", "repo:org/app:ref:refs/heads/main", 200],
    ["repo:org/app:*", "repo:org/app:", 401],
    ["repo:org/app:*", "repo:org/app", 401],
    ["repo:org/app:*", "repo:org/app-evil:ref:refs/heads/main", 401],
    ["repo:org/app:*", "REPO:ORG/APP:ref", 401],
    ["repo:org/app:ref:refs/heads/release/*", "repo:org/app:ref:refs/heads/release/1", 200],
    ["repo:org/app:ref:refs/heads/release/*", "repo:org/app:ref:refs/heads/main", 401],
    ["repo:org/app.x:*", "repo:org/appyx:1", 401],
    ["repo:org/app:environment:prod", "repo:org/app:environment:prod", 200],
    ["repo:org/app:environment:prod", "repo:org/app:environment:prod2", 401],
  ])("%s and a token about %s: %i", async (subject, sub, status) => {
    const id = await trusted({ service: "orders", issuer: cluster.issuer, subject, audience: "core" });
    expect((await ask(await cluster.token({ sub }))).status).toBe(status);
    expect(await untrusted(id)).toBe(200);
    expectInvalidClient(await ask(await cluster.token({ sub })));
  });

  it("that matches two services authenticates neither, unless the client sends a client_id", async () => {
    const sub = "repo:org/both:x";
    const body = { issuer: cluster.issuer, subject: "repo:org/both:*", audience: "core" };
    const ids = [await trusted({ ...body, service: "orders" }), await trusted({ ...body, service: "billing" })];
    expectInvalidClient(await ask(await cluster.token({ sub })));
    for (const client_id of ["orders", "billing"]) {
      const answer = await ask(await cluster.token({ sub }), { client_id });
      expect(partsOf(answer.json["access_token"] as string).claims["sub"]).toBe(client_id);
    }
    for (const id of ids) await untrusted(id);
  });
});

describe("pinned keys", () => {
  it("replace those that the issuer publishes, without a request to the issuer", async () => {
    const hidden = await startPlatform();
    const issuer = "https://kubernetes.default.svc.cluster.local"; // not reachable from outside its cluster
    const id = await trusted({ service: "orders", issuer, subject: WORKLOAD, audience: "core", jwks: hidden.jwks });
    expect((await ask(await hidden.token({ iss: issuer }))).status).toBe(200);
    expectInvalidClient(await ask(await cluster.token({ iss: issuer })));
    expect(hidden.asked).toEqual([]);
    await untrusted(id);
  });
});

describe("a platform whose keys are unavailable", () => {
  const issuer = "http://127.0.0.1:9";
  const trust = { service: "orders", issuer, subject: WORKLOAD, audience: "core" };

  it("S4 leads to 503 for every token, so that attackers cannot learn which workloads are trusted", async () => {
    const gone = await startPlatform();
    const id = await trusted(trust);
    for (const [claims, form] of [
      [{}, {}],
      [{ sub: `${WORKLOAD}2` }, {}],
      [{ aud: "another" }, {}],
      [{ exp: now() - 600 }, {}],
      [{}, { client_id: "billing" }],
    ] as const) {
      const answer = await ask(await gone.token({ iss: issuer, ...claims }), form);
      expect([answer.status, answer.json["error"]]).toEqual([503, "temporarily_unavailable"]);
    }
    await untrusted(id);
  });

  it("H5 is logged once a minute, for any number of requests", async () => {
    const gone = await startPlatform();
    const id = await trusted(trust);
    const linesOf20 = async () => {
      const before = log.lines.length;
      for (let i = 0; i < 20; i++) expect((await ask(await gone.token({ iss: issuer }))).status).toBe(503);
      return log.lines.slice(before).filter((line) => line.includes(issuer));
    };
    limit.advance(60_000);
    expect(await linesOf20()).toHaveLength(1);
    limit.advance(59_999);
    expect(await linesOf20()).toHaveLength(0);
    limit.advance(1);
    expect(await linesOf20()).toEqual([expect.stringContaining("alsoFailed: 39")]);
    await untrusted(id);
  });

  it("does not affect identities with pinned keys", async () => {
    const platform = await startPlatform();
    const aud = Array.from({ length: 12 }, (_, i) => `core-${i}`);
    const ids = [await trusted({ ...trust, jwks: platform.jwks })];
    for (const audience of aud) ids.push(await trusted({ ...trust, audience }));
    expect((await ask(await platform.token({ iss: issuer, aud: ["core", ...aud] }))).status).toBe(200);
    for (const id of ids) await untrusted(id);
  });
});

describe("a trusted identity", () => {
  const good = () => ({ service: "billing", issuer: cluster.issuer, subject: "a:b", audience: "core" });

  it.each([
    [{ subject: "*" }, /after ':' or '\/'/],
    [{ subject: "repo:org/app*" }, /after ':' or '\/'/],
    [{ subject: "repo:*/app" }, /at its end/],
    [{ subject: "repo:**" }, /at its end/],
    [{ subject: "" }, /1 to 512/],
    [{ subject: "a b" }, /without spaces/],
    [{ subject: "a".repeat(513) }, /1 to 512/],
    [{ audience: "" }, /audience: must have 1 to 512/],
    [{ issuer: "http://platform.test" }, /https/],
    [{ issuer: "http://169.254.169.254" }, /https/],
    [{ issuer: "https://platform.test\n" }, /issuer: must have 1 to 512/],
    [{ issuer: "platform" }, /URL/],
    [{ issuer: "file:///etc/passwd" }, /https/],
    [{ issuer: "https://platform.test/?tenant=1" }, /without query/],
    [{ issuer: "https://platform.test/#1" }, /without query/],
    [{ issuer: "https://user:pw@platform.test" }, /user name/],
    [{ jwks: { keys: [{ kty: "oct", k: "AAAA", kid: "k" }] } }, /jwks/],
    [{ jwks: { keys: "x" } }, /jwks/],
  ])("is rejected with %o", async (facts, problem) => {
    const answer = await postTrust({ ...good(), ...facts });
    expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(problem)]);
  });

  it("requires an existing service, is unique, listed, and removed by its ID", async () => {
    expect((await postTrust({ ...good(), service: "ghost" })).status).toBe(404);
    const id = await trusted(good());
    expect((await postTrust(good())).status).toBe(409);
    const list = async () => (await core.call("/admin/v1/apps/public/trusts", { apiKey: ADMIN_KEY })).json["trusts"];
    expect(await list()).toContainEqual({ id, ...good(), pinned: null, createdAt: expect.stringMatching(/Z$/) });
    expect([await untrusted(id), await untrusted(id), await untrusted("x")]).toEqual([200, 404, 404]);
    expect(await list()).toHaveLength(1);
  });

  it("is deleted with its service", async () => {
    await callServices(core, "", { name: "short" });
    await trusted({ ...good(), service: "short", subject: "s" });
    expect((await ask(await cluster.token({ sub: "s" }), { audience: undefined })).json["error"]).toBe(
      "invalid_request",
    );
    await callServices(core, "/short/delete", {});
    expectInvalidClient(await ask(await cluster.token({ sub: "s" })));
  });
});
