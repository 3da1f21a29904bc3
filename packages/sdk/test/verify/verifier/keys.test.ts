// Sources of the keys, and how a route responds while they are unavailable.
import { createHash, createPublicKey, verify, type JsonWebKey } from "node:crypto";
import { describe, expect, test } from "vitest";
import { buildVerifier, createVerifier } from "../../../src/verify/verifier.ts";
import { closing, openRoute, openPrimedRoute } from "../../support/protected-route.ts";
import { deadAddress, listen } from "../../support/http.ts";
import { ecKey, edKey, forge, goodClaims, headerOf, rsaKey, tokenBy, type Jwk } from "../../support/keys.ts";
import { serveKeys } from "../../support/key-server.ts";

const rsa = rsaKey();
const ec = ecKey();
const ed = edKey();
const without = (jwk: Jwk, ...names: string[]) =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => !names.includes(name)));

describe("T4 T15 the key decides the algorithm", () => {
  test.each([[rsa], [ec], [ed]])("T4 a key without alg has the one of its type: $algorithm", async (key) => {
    const route = await openRoute([without(key.jwk, "alg", "use")]);
    await route.expectAllowed(tokenBy(key));
    for (const alg of ["RS256", "ES256", "Ed25519"].filter((name) => name !== key.algorithm)) {
      await route.expectRefused(tokenBy(key, {}, { alg }), "algorithm_not_allowed");
    }
    await route.expectRefused(tokenBy(key, {}, { alg: "HS256" }), "algorithm_not_allowed");
  });

  test("T4 T15 a key whose alg does not fit its type is not used", async () => {
    const keys = [rsa, ec, ed];
    for (const key of keys) {
      for (const alg of [
        "RS384",
        "PS256",
        "HS256",
        "none",
        ...keys.filter((other) => other !== key).map((other) => other.algorithm),
      ]) {
        const route = await openRoute([{ ...key.jwk, alg }]);
        await route.expectRefused(tokenBy(key), "key_unknown", { fetches: 1 });
      }
    }
  });

  test("EdDSA and Ed25519 are one name, in the token, in the key and in the options", async () => {
    for (const alg of ["EdDSA", "Ed25519"] as const) {
      const route = await openRoute([{ ...ed.jwk, alg }], { algorithms: [alg] });
      for (const named of ["EdDSA", "Ed25519"]) await route.expectAllowed(tokenBy(ed, {}, { alg: named }));
    }
  });

  test("an algorithm that this route does not accept is rejected before any key lookup", async () => {
    const route = await openRoute([rsa, ec], { algorithms: ["ES256"] });
    await route.expectRefused(tokenBy(rsa), "algorithm_not_allowed");
    await route.expectAllowed(tokenBy(ec));
  });
});

describe("T5 T16 T17 an invalid key is never used", () => {
  test.each([
    [null],
    [""],
    [{}],
    [[]],
    [0],
    [false],
    [{ kid: rsa.kid }],
    [{ kid: rsa.kid, kty: "RSA", n: "", e: "" }],
    [{ kid: rsa.kid, kty: "oct", k: "" }],
  ])("T5 a key set with only %j accepts no token", async (member) => {
    const route = await openRoute([member as unknown as Jwk]);
    await route.expectRefused(tokenBy(rsa), "key_unknown", { fetches: 1 });
    await route.expectRefused(forge(rsa, { alg: "HS256", kid: rsa.kid }, goodClaims()), "algorithm_not_allowed");
  });

  test("T16 a weak RSA key is not used, although its signature is valid", async () => {
    const weak = rsaKey("s-weak", 1024);
    const route = await openRoute([weak, rsa]);
    await route.expectRefused(tokenBy(weak), "key_unknown", { fetches: 1 });
    await route.expectAllowed(tokenBy(rsa));
  });

  test("T16 with e = 1 every message signs itself: such a key is not used", async () => {
    const jwk = { ...rsa.jwk, kid: "s-one", e: "AQ" };
    const input = forge(rsa, { ...headerOf(rsa), kid: "s-one" }, goodClaims())
      .split(".", 2)
      .join(".");
    // RFC 8017 section 9.2: the padded hash, which is its own signature
    const hash = Buffer.concat([
      Buffer.from("3031300d060960864801650304020105000420", "hex"),
      createHash("sha256").update(input).digest(),
    ]);
    const signature = Buffer.concat([
      Buffer.from([0, 1]),
      Buffer.alloc(253 - hash.length, 0xff),
      Buffer.from([0]),
      hash,
    ]);
    const publicKey = createPublicKey({ key: jwk as JsonWebKey, format: "jwk" });
    expect(verify("sha256", Buffer.from(input), publicKey, signature)).toBe(true);
    const route = await openRoute([jwk, rsa]);
    await route.expectRefused(`${input}.${signature.toString("base64url")}`, "key_unknown", { fetches: 1 });
  });

  test("T17 a key of small order is not used, although it verifies a signature of zeros", async () => {
    const token = tokenBy(ed, {}, { kid: "s-small" });
    const signature = Buffer.concat([Buffer.from([1]), Buffer.alloc(63)]);
    const jwk = { kty: "OKP", crv: "Ed25519", x: Buffer.from("01" + "00".repeat(31), "hex").toString("base64url") };
    const publicKey = createPublicKey({ key: jwk, format: "jwk" });
    expect(verify(null, Buffer.from("any message"), publicKey, signature)).toBe(true);
    const route = await openRoute([{ ...jwk, kid: "s-small" }, ed]);
    await route.expectRefused(
      token.slice(0, token.lastIndexOf(".") + 1) + signature.toString("base64url"),
      "key_unknown",
      { fetches: 1 },
    );
  });
});

describe("K3 K5 unknown and removed keys", () => {
  test("K3 an unknown kid finds no key, although the set has only one", async () => {
    const route = await openPrimedRoute(rsa);
    for (const kid of [
      "s-other",
      rsa.kid.toUpperCase(),
      `${rsa.kid} `,
      rsa.kid.slice(0, -1),
      "../s-rsa",
      "*",
      "' OR 1=1--",
    ]) {
      const decision = await route.verifier.verify(tokenBy(rsa, {}, { kid }));
      expect(decision).toEqual({ allowed: false, reason: "key_unknown", status: 401 });
    }
    expect(route.keys.fetches()).toBe(2);
  });

  test("a token without a kid is rejected without a key lookup", async () => {
    const route = await openPrimedRoute(rsa);
    await route.expectRefused(forge(rsa, { alg: "RS256" }, goodClaims()), "header_not_allowed");
  });

  test("K5 a removed key is rejected after the next refresh, and its successor is found immediately", async () => {
    const route = await openPrimedRoute(rsa);
    const next = rsaKey("s-next");
    route.keys.publish(next);
    await route.expectAllowed(tokenBy(rsa));
    await route.expectAllowed(tokenBy(next));
    await route.expectRefused(tokenBy(rsa), "key_unknown");
  });
});

describe("K7 keys that cannot be fetched", () => {
  test("K7 no token is accepted before the first key set: 503", async () => {
    const route = await openRoute([rsa]);
    route.keys.failWith({ status: 500 });
    await route.expectRefused(tokenBy(rsa), "keys_unavailable", { status: 503, fetches: 1 });
    await route.expectRefused(tokenBy(rsa), "keys_unavailable", { status: 503 });
    route.keys.failWith(undefined);
    route.clock.advance(1);
    await route.expectAllowed(tokenBy(rsa));
  });

  test("K7 the key server is down: 503", async () => {
    const verifier = closing(createVerifier({ jwksUri: `${deadAddress()}/keys.json` }));
    expect(await verifier.verify(tokenBy(rsa))).toEqual({ allowed: false, reason: "keys_unavailable", status: 503 });
  });

  test("K7 malformed tokens are rejected without fetching keys", async () => {
    const route = await openRoute([rsa]);
    await route.expectRefused("a.b.c", "token_malformed");
    await route.expectRefused(tokenBy(rsa, {}, { alg: "none" }), "algorithm_not_allowed");
    expect(route.keys.connections()).toBe(0);
  });
});

describe("K8 K9 key sets that are partly or entirely invalid", () => {
  test("K8 invalid members are skipped and reported, all others are used", async () => {
    const route = await openRoute([
      { kid: "s-broken", kty: "RSA" },
      { ...ec.jwk, kid: "s-point", x: ec.jwk["y"] },
      rsa,
    ]);
    await route.expectAllowed(tokenBy(rsa));
    expect(route.events).toContainEqual(
      expect.objectContaining({
        type: "keys_refreshed",
        keys: 1,
        skipped: [
          { kid: "s-broken", problem: "n is not canonical" },
          { kid: "s-point", problem: "not a valid key" },
        ],
      }),
    );
  });

  test("K8 a kid of two different keys is accepted for neither", async () => {
    const twin = rsaKey(rsa.kid);
    const route = await openRoute([rsa, twin, ec]);
    await route.expectAllowed(tokenBy(ec));
    await route.expectRefused(tokenBy(rsa), "key_unknown", { fetches: 1 });
    await route.expectRefused(tokenBy(twin), "key_unknown");
  });

  test.each([
    [
      "more than 64 keys",
      JSON.stringify({ keys: Array.from({ length: 65 }, (_, i) => ({ ...ed.jwk, kid: `k${i}` })) }),
    ],
    ["not JSON", "<html>"],
    ["no keys", '{"jwks":[]}'],
    ["duplicate members", `{"keys":[],"keys":[${JSON.stringify(rsa.jwk)}]}`],
    ["a byte order mark", `\ufeff${JSON.stringify({ keys: [rsa.jwk] })}`],
    ["too large", `{"keys":[],"pad":"${"x".repeat(262_144)}"}`],
  ])("K8 a key set with %s never replaces a valid one", async (_name, body) => {
    const route = await openPrimedRoute(rsa);
    route.keys.failWith({ status: 200, body });
    await route.expectRefused(tokenBy(rsa, {}, { kid: "s-other" }), "key_unknown", { fetches: 1 });
    expect(route.events.filter((event) => event.type === "keys_refresh_failed")).toHaveLength(1);
    await route.expectAllowed(tokenBy(rsa));
  });

  test("K9 a key whose private part is in the key set is not used", async () => {
    const route = await openRoute([
      { ...rsa.privateKey.export({ format: "jwk" }), kid: rsa.kid, alg: "RS256", use: "sig" },
      ec,
    ]);
    await route.expectAllowed(tokenBy(ec));
    await route.expectRefused(tokenBy(rsa), "key_unknown", { fetches: 1 });
    expect(JSON.stringify(route.events)).not.toContain(rsa.privateKey.export({ format: "jwk" }).d);
  });
});

describe("K10 hostile key servers", () => {
  test.each([[301], [302], [303], [307], [308]])("K10 a redirect (%i) is not followed", async (status) => {
    const attacker = await serveKeys(rsa);
    const route = await openRoute([]);
    route.keys.failWith({ status, headers: { location: attacker.jwksUri } });
    await route.expectRefused(tokenBy(rsa), "keys_unavailable", { status: 503, fetches: 1 });
    expect(attacker.connections()).toBe(0);
  });

  test("K10 a response that never ends is aborted at 256 KiB", async () => {
    let sent = 0;
    const endless = await listen((_req, res) => {
      const more = () => {
        sent += 65_536;
        if (!res.destroyed) res.write(" ".repeat(65_536), () => setImmediate(more));
      };
      more();
    });
    const verifier = closing(createVerifier({ jwksUri: `${endless.url}/keys.json` }));
    expect(await verifier.verify(tokenBy(rsa))).toMatchObject({ reason: "keys_unavailable" });
    expect(sent).toBeLessThan(16 * 1_048_576);
  });

  test("K10 a request without a response times out after 5 s", async () => {
    const silent = await listen(() => {});
    const verifier = closing(createVerifier({ jwksUri: `${silent.url}/keys` }));
    const start = performance.now();
    expect(await verifier.verify(tokenBy(rsa))).toMatchObject({ reason: "keys_unavailable", status: 503 });
    expect(performance.now() - start).toBeLessThan(7_000);
  });

  test("K10 plain HTTP to another host is rejected at creation, for key sets and discovery", () => {
    for (const options of [
      { jwksUri: "http://keys.test/jwks.json" },
      { issuer: "http://issuer.test" },
      { jwksUri: [{ issuer: "http://issuer.test" }] },
      { jwksUri: [{ issuer: "a", jwksUri: "http://keys.test" }] },
    ]) {
      expect(() => createVerifier(options)).toThrow(/https/);
      expect(() => closing(createVerifier({ ...options, allowHttp: true }))).not.toThrow();
    }
  });

  test("K10 a discovery document cannot lead to plain HTTP on another host", async () => {
    const issuer = await listen((_req, res) =>
      res.end(JSON.stringify({ issuer: issuer.url, jwks_uri: "http://keys.test/jwks.json" })),
    );
    const problems: string[] = [];
    const onEvent = (event: { type: string; problem?: string }) => void problems.push(event.problem ?? "");
    const verifier = closing(
      buildVerifier({ issuer: issuer.url, onEvent }, undefined, { now: Date.now, monotonic: () => 0 }),
    );
    expect(await verifier.verify(tokenBy(rsa, { iss: issuer.url }))).toMatchObject({ reason: "keys_unavailable" });
    expect(problems[0]).toMatch(/jwks_uri: expected https/);
  });

  test("K10 key sets are requested without credentials", async () => {
    const route = await openPrimedRoute(rsa);
    const { headers } = route.keys.requests[0]!;
    expect(headers.authorization ?? headers.cookie ?? headers["api-key"]).toBeUndefined();
    expect(headers.accept).toBe("application/json");
  });
});

test("headers of a valid token do not choose the key server", async () => {
  const route = await openPrimedRoute(ed);
  await route.expectAllowed(forge(ed, { ...headerOf(ed), iss: "https://elsewhere.test" }, goodClaims()));
  expect(route.keys.fetches()).toBe(1);
});
