import { SignJWT } from "jose";
import { describe, expect, test, onTestFinished, vi } from "vitest";
import type { VerifierEvent } from "../../src/telemetry/events.ts";
import { KeySet } from "../../src/jwks/key-set.ts";
import type { Source } from "../../src/jwks/polled-document.ts";
import { placesOf } from "../../src/verify/issuer-documents.ts";
import { buildVerifier, createVerifier } from "../../src/verify/verifier.ts";
import { fakeClock } from "../support/clock.ts";
import { closing, openRoute, openPrimedRoute } from "../support/protected-route.ts";
import { serveIssuer } from "../support/issuer.ts";
import { listen } from "../support/http.ts";
import { ecKey, edKey, forge, goodClaims, headerOf, NOW, rsaKey, tokenBy, type TestKey } from "../support/keys.ts";
import { serveKeys } from "../support/key-server.ts";

const rsa = rsaKey();
const ec = ecKey();
const ed = edKey();

describe("an accepted token", () => {
  test.each([[rsa], [ec], [ed]])("signed by jose, verified with createVerifier: $algorithm", async (key: TestKey) => {
    const keys = await serveKeys(key);
    const verifier = closing(createVerifier({ jwksUri: keys.jwksUri }));
    const token = await new SignJWT({ source: "microservice", service: "orders" })
      .setProtectedHeader({ alg: key.algorithm, kid: key.kid, typ: "JWT" })
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(key.privateKey);
    expect(await verifier.verify(token)).toMatchObject({
      allowed: true,
      caller: { service: "orders", claims: { source: "microservice" }, header: { alg: key.algorithm, kid: key.kid } },
    });
  });

  test("keys are fetched once for many tokens, also for simultaneous ones", async () => {
    const route = await openRoute([ed]);
    await Promise.all(Array.from({ length: 20 }, (_, n) => route.expectAllowed(tokenBy(ed, { n }))));
    await route.expectAllowed(tokenBy(ed));
    expect(route.keys.fetches()).toBe(1);
  });

  test.each([
    [{ sub: "orders", service: "other" }, "orders"],
    [{ sub: undefined, service: "other" }, "other"],
    [{ sub: undefined }, undefined],
    [{ sub: undefined, service: 7 }, undefined],
  ])("the service of %j is %s", async (claims, service) => {
    const route = await openRoute([ed]);
    expect((await route.expectAllowed(tokenBy(ed, claims))).service).toBe(service);
  });

  test("V4 the decision is deeply frozen", async () => {
    const route = await openRoute([ed]);
    const decision = await route.verifier.verify(tokenBy(ed, { roles: [{ name: "reader" }] }));
    if (!decision.allowed) throw new Error(decision.reason);
    const { caller } = decision;
    const roles = caller.claims["roles"] as { name: string }[];
    for (const change of [
      () => ((caller as { service: string }).service = "admin"),
      () => ((caller.claims as Record<string, unknown>)["sub"] = "admin"),
      () => (roles[0]!.name = "admin"),
      () => roles.push({ name: "admin" }),
      () => ((caller.header as { kid: string }).kid = "x"),
      () => ((decision as { allowed: boolean }).allowed = false),
    ]) {
      expect(change).toThrow(TypeError);
    }
  });
});

describe("several issuers", () => {
  test("K2 each issuer has its own keys and rules: the same kid at two issuers is two keys", async () => {
    const [a, b] = [edKey("same"), edKey("same")];
    const [atA, atB] = [await serveKeys(a), await serveKeys(b)];
    const verifier = closing(
      createVerifier({
        clockTolerance: 0,
        jwksUri: [
          { issuer: "a", jwksUri: atA.jwksUri },
          { issuer: "b", jwksUri: atB.jwksUri, requiredClaims: { role: "b" } },
        ],
      }),
    );
    const fresh = { iat: 0, exp: Math.floor(Date.now() / 1000) + 60 };
    const reasonOf = async (token: string) => {
      const decision = await verifier.verify(token);
      return decision.allowed ? "allowed" : decision.reason;
    };
    expect(await reasonOf(tokenBy(a, { ...fresh, iss: "a" }))).toBe("allowed");
    expect(await reasonOf(tokenBy(b, { ...fresh, iss: "b", role: "b" }))).toBe("allowed");
    expect(await reasonOf(tokenBy(b, { ...fresh, iss: "b" }))).toBe("claim_mismatch");
    expect(await reasonOf(tokenBy(a, { ...fresh, iss: "b", role: "b" }))).toBe("signature_invalid");
    expect(await reasonOf(tokenBy(b, { ...fresh, iss: "a" }))).toBe("signature_invalid");
  });

  test.each([["c"], ["A"], [undefined], [["a"]], ["a:b"], ["a/"]])(
    "K6 iss %j is an unknown issuer, and is not used as a URL",
    async (iss) => {
      const keys = await serveKeys(ed);
      const verifier = closing(
        createVerifier({
          jwksUri: [
            { issuer: "a", jwksUri: keys.jwksUri },
            { issuer: "b", jwksUri: keys.jwksUri },
          ],
        }),
      );
      expect(await verifier.verify(tokenBy(ed, { iss }))).toMatchObject({ reason: "issuer_mismatch", status: 401 });
      expect(keys.connections()).toBe(0);
    },
  );
});

describe("discovery", () => {
  async function issuerWith(
    document: (url: string, jwksUri: string) => object | string,
    path = "",
  ): Promise<{ issuer: string; jwksUri: string; verdict(): Promise<string> }> {
    const keys = await serveKeys(ed);
    const server = await listen((req, res) => {
      if (req.url !== `${path}/.well-known/openid-configuration`) return void res.writeHead(404).end();
      const body = document(server.url + path, keys.jwksUri);
      res.end(typeof body === "string" ? body : JSON.stringify(body));
    });
    const issuer = server.url + path;
    const verifier = closing(buildVerifier({ issuer }, undefined, fakeClock()));
    return {
      issuer,
      jwksUri: keys.jwksUri,
      async verdict() {
        const decision = await verifier.verify(tokenBy(ed, { iss: issuer }));
        return decision.allowed ? "allowed" : decision.reason;
      },
    };
  }

  test.each([[""], ["/auth"]])(
    "an issuer without a jwksUri is found through its discovery document: path %j",
    async (path) => {
      const found = await issuerWith((issuer, jwks_uri) => ({ issuer, jwks_uri }), path);
      expect(await found.verdict()).toBe("allowed");
    },
  );

  test("K6 an issuer's keys come from its jwks_uri, and never from a document next to it", async () => {
    const server = await listen((req, res) => {
      if (req.url === "/jwks.json") return void res.end(JSON.stringify({ keys: [rsa.jwk] }));
      if (req.url === "/jwks-all.json") return void res.end(JSON.stringify({ keys: [ed.jwk] }));
      if (req.url !== "/.well-known/openid-configuration") return void res.writeHead(404).end();
      res.end(JSON.stringify({ issuer: server.url, jwks_uri: `${server.url}/jwks.json` }));
    });
    const verifier = closing(buildVerifier({ issuer: server.url }, undefined, fakeClock()));
    expect(await verifier.verify(tokenBy(rsa, { iss: server.url }))).toMatchObject({ allowed: true });
    expect(await verifier.verify(tokenBy(ed, { iss: server.url }))).toMatchObject({ reason: "key_unknown" });
    expect(server.count("/jwks-all.json")).toBe(0);
  });

  test("R17 the discovery document is fetched once, for the keys and the revocation feed", async () => {
    const clock = fakeClock();
    const server = await listen((req, res) => {
      if (req.url === "/jwks.json") return void res.end(JSON.stringify({ keys: [rsa.jwk] }));
      if (req.url !== "/.well-known/openid-configuration") return void res.writeHead(404).end();
      res.end(JSON.stringify({ issuer: server.url, jwks_uri: `${server.url}/jwks.json` }));
    });
    const verifier = closing(buildVerifier({ issuer: server.url }, undefined, clock));
    const token = () => tokenBy(rsa, { iss: server.url, jti: String(clock.now()), exp: NOW + 9_999 });
    expect(await verifier.verify(token())).toMatchObject({ allowed: true });
    const asked = server.count("/.well-known/openid-configuration");
    for (let i = 1; i <= 5; i++) {
      clock.advance(37);
      expect(await verifier.verify(token())).toMatchObject({ allowed: true });
      await vi.waitFor(() => expect(server.count("/revocations")).toBe(i + 1));
    }
    expect(server.count("/.well-known/openid-configuration")).toBe(asked);
  });

  test.each<[string, (url: string, jwksUri: string) => object | string]>([
    ["another issuer", (url, jwks_uri) => ({ issuer: `${url}/`, jwks_uri })],
    ["no issuer", (_url, jwks_uri) => ({ jwks_uri })],
    ["no jwks_uri", (issuer) => ({ issuer })],
    ["a jwks_uri that is not a URL", (issuer) => ({ issuer, jwks_uri: "/keys.json" })],
    ["a file", (issuer) => ({ issuer, jwks_uri: "file:///etc/passwd" })],
    ["two issuers", (issuer, jwks_uri) => `{"issuer":"x","issuer":"${issuer}","jwks_uri":"${jwks_uri}"}`],
  ])("K6 a document with %s leads to no keys", async (_name, document) => {
    expect(await (await issuerWith(document)).verdict()).toBe("keys_unavailable");
  });
});

describe("the documents of an instance", () => {
  const knownOf = (key: TestKey) => {
    const source: Source = {
      name: "the core",
      places: async () => ["/jwks"],
      get: async () => ({ status: 200, headers: new Headers(), text: JSON.stringify({ keys: [key.jwk] }) }),
    };
    const keySet = new KeySet(source, fakeClock(), () => {});
    onTestFinished(() => keySet.close());
    return { keySet, feed: undefined };
  };

  test("are the default for options that name no source", async () => {
    const verifier = closing(buildVerifier({ issuer: "orders" }, knownOf(ed), fakeClock()));
    expect(await verifier.verify(tokenBy(ed, { iss: "orders" }))).toMatchObject({ allowed: true });
    expect(await verifier.verify(tokenBy(ed, { iss: "other" }))).toMatchObject({ reason: "issuer_mismatch" });
  });

  test("the revocation feed can be at another URL than the keys, or turned off", async () => {
    const issuer = await serveIssuer(ed);
    issuer.revoke({ tokens: [["id-1", NOW + 3600]] });
    const outcome = async (revocationsUri: string | null | undefined) => {
      const verifier = closing(buildVerifier({ revocationsUri }, knownOf(ed), fakeClock()));
      const decision = await verifier.verify(tokenBy(ed));
      return decision.allowed ? "allowed" : decision.reason;
    };
    expect(await outcome(`${issuer.url}/revocations`)).toBe("token_revoked");
    expect(await outcome(null)).toBe("allowed");
  });

  test("K6 are never used for a listed issuer, which is found by discovery", async () => {
    const issuer = await listen((_req, res) => res.end(JSON.stringify({ issuer: issuer.url, jwks_uri: keys.jwksUri })));
    const keys = await serveKeys(ec);
    const verifier = closing(buildVerifier({ jwksUri: [{ issuer: issuer.url }] }, knownOf(ed), fakeClock()));
    expect(await verifier.verify(tokenBy(ec, { iss: issuer.url }))).toMatchObject({ allowed: true });
    expect(await verifier.verify(tokenBy(ed, { iss: issuer.url }))).toMatchObject({ reason: "key_unknown" });
  });
});

describe("the RSA set and the full set", () => {
  test.each([
    [
      "https://a.test/.well-known/jwks.json",
      ["https://a.test/.well-known/jwks-all.json", "https://a.test/.well-known/jwks.json"],
    ],
    [
      "https://a.test/auth/jwt/jwks.json?x=1",
      ["https://a.test/auth/jwt/jwks-all.json?x=1", "https://a.test/auth/jwt/jwks.json?x=1"],
    ],
    ["https://a.test/keys", ["https://a.test/keys"]],
    ["https://a.test/myjwks.json", ["https://a.test/myjwks.json"]],
  ])("of %s", (jwksUri, places) => expect(placesOf(jwksUri)).toEqual(places));

  test.each([[401], [404]])("the full set is read first; with %i, the RSA set is read", async (status) => {
    const server = await listen((req, res) => {
      if (req.url === "/jwks-all.json") return void res.writeHead(status).end();
      res.end(JSON.stringify({ keys: [rsa.jwk] }));
    });
    const verifier = closing(buildVerifier({ jwksUri: `${server.url}/jwks.json` }, undefined, fakeClock()));
    expect(await verifier.verify(tokenBy(rsa))).toMatchObject({ allowed: true });
    expect(server.requests.map((req) => req.url)).toEqual(["/revocations", "/jwks-all.json", "/jwks.json"]);
  });

  test("an Ed25519 token is accepted if only the full set has its key", async () => {
    const server = await listen((req, res) =>
      res.end(JSON.stringify({ keys: req.url === "/jwks-all.json" ? [ed.jwk, rsa.jwk] : [rsa.jwk] })),
    );
    const verifier = closing(buildVerifier({ jwksUri: `${server.url}/jwks.json` }, undefined, fakeClock()));
    expect(await verifier.verify(tokenBy(ed))).toMatchObject({ allowed: true });
    expect(server.count("/jwks.json")).toBe(0);
  });
});

describe("events", () => {
  test("S6 contain no characters that can forge a line of a log, and no secrets of a URL", async () => {
    const keys = await serveKeys(ed);
    const events: VerifierEvent[] = [];
    const options = {
      jwksUri: `${keys.jwksUri}?key=canary#part`,
      onEvent: (event: VerifierEvent) => events.push(event),
    };
    const verifier = closing(buildVerifier(options, undefined, fakeClock()));
    await verifier.verify(tokenBy(ed, { exp: NOW - 99, jti: "a\nb\u001b[31m", sub: "c\u202ed\u2028é" }));
    expect(events.at(-1)).toMatchObject({ type: "refused", jti: "a?b?[31m", sub: "c?d?é" });
    expect(events[0]).toMatchObject({ type: "keys_refreshed", source: keys.jwksUri });
    expect(JSON.stringify([events, verifier.health()])).not.toContain("canary");
  });

  test("describe the claims of the token, truncated, and never contain the token", async () => {
    const route = await openPrimedRoute(ed);
    const token = tokenBy(ed, { exp: NOW - 99, jti: "j".repeat(300), sub: "s".repeat(300) });
    await route.verifier.verify(token);
    expect(route.events.at(-1)).toEqual({
      type: "refused",
      reason: "token_expired",
      kid: ed.kid,
      jti: "j".repeat(256),
      sub: "s".repeat(256),
      expected: `after ${NOW - 30}`,
      seen: String(NOW - 99),
      clockOffsetSeconds: expect.any(Number) as number,
    });
  });

  test.each<[string, (event: VerifierEvent) => unknown]>([
    [
      "throws",
      () => {
        throw new Error("x");
      },
    ],
    [
      "throws what cannot be printed",
      () => {
        throw Object.create(null);
      },
    ],
    [
      "rejects",
      async () => {
        throw new Error("x");
      },
    ],
  ])("a listener that %s changes no decision", async (_name, onEvent) => {
    const warnings: Error[] = [];
    const remember = (warning: Error) => void warnings.push(warning);
    process.on("warning", remember);
    const keys = await serveKeys(ed);
    const verifier = closing(buildVerifier({ jwksUri: keys.jwksUri, onEvent }, undefined, fakeClock()));
    expect(await verifier.verify(tokenBy(ed))).toMatchObject({ allowed: true });
    expect(await verifier.verify("x")).toMatchObject({ reason: "token_malformed" });
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", remember);
    expect(warnings.map((warning) => (warning as NodeJS.ErrnoException).code)).toContain("COUNTERSIGN_ON_EVENT");
  });

  test("a valid token emits none", async () => {
    const route = await openPrimedRoute(ed);
    const before = route.events.length;
    await route.expectAllowed(forge(ed, headerOf(ed), goodClaims()));
    expect(route.events).toHaveLength(before);
    expect(route.events).toEqual([{ type: "keys_refreshed", source: route.keys.jwksUri, keys: 1, skipped: [] }]);
  });
});
