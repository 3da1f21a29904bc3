// Forged and confused tokens against a verifier whose keys come from a real server.
import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { openRoute, openPrimedRoute, type ProtectedRoute } from "../../support/protected-route.ts";
import { listen } from "../../support/http.ts";
import {
  base64url,
  ecKey,
  edKey,
  forge,
  goodClaims,
  headerOf,
  rsaKey,
  signatureOf,
  tokenBy,
  type TestKey,
} from "../../support/keys.ts";

const rsa = rsaKey();
const ec = ecKey();
const ed = edKey();
let route: ProtectedRoute;
beforeAll(async () => {
  route = await openPrimedRoute(rsa);
});

const withAlg = (alg: unknown, signature?: string) => {
  const token = forge(rsa, { ...headerOf(rsa), alg }, goodClaims());
  return signature === undefined ? token : token.slice(0, token.lastIndexOf(".") + 1) + signature;
};

test.each([[rsa], [ec], [ed]])("a valid token of $algorithm is accepted", async (key: TestKey) => {
  const own = await openPrimedRoute(key);
  expect((await own.expectAllowed(tokenBy(key))).service).toBe("orders");
});

describe("T1 alg none", () => {
  const spellings = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((bits) =>
    [..."none"].map((letter, i) => (bits & (1 << i) ? letter.toUpperCase() : letter)).join(""),
  );
  const others = [
    "",
    " ",
    " none",
    "none ",
    "none\n",
    "none,RS256",
    "n\u043ene",
    "ｎｏｎｅ",
    "none\0",
    "null",
    "undefined",
    "false",
    "none;",
    "none/none",
  ];
  const values: unknown[] = [
    ...spellings,
    ...others,
    null,
    true,
    false,
    0,
    1,
    [],
    ["none"],
    ["RS256"],
    {},
    { alg: "RS256" },
  ];

  test.each(values.map((value) => [value]))("T1 alg %j is rejected, with and without a signature", async (alg) => {
    for (const signature of [undefined, "", "AA"])
      await route.expectRefused(withAlg(alg, signature), "algorithm_not_allowed");
  });

  test("T1 is rejected before any key is fetched", async () => {
    const closed = await openRoute([rsa]);
    for (const alg of values) await closed.expectRefused(withAlg(alg, ""), "algorithm_not_allowed");
    expect([values.length >= 40, closed.keys.connections()]).toEqual([true, 0]);
  });

  test("T1 a header without alg is rejected", async () => {
    await route.expectRefused(forge(rsa, { typ: "JWT", kid: rsa.kid }, goodClaims()), "algorithm_not_allowed");
  });

  test("T1 a valid header without a signature is rejected", async () => {
    const token = tokenBy(rsa);
    await route.expectRefused(token.slice(0, token.lastIndexOf(".") + 1), "token_malformed");
    await route.expectRefused(token.slice(0, token.lastIndexOf(".")), "token_malformed");
  });
});

describe("T2 only exact algorithm names", () => {
  test.each([
    ["rs256"],
    ["Rs256"],
    ["RS256 "],
    [" RS256"],
    ["RS256\n"],
    ["RS256\0"],
    ["RS-256"],
    ["es256"],
    ["ed25519"],
    ["ED25519"],
    ["eddsa"],
    ["Ed448"],
    ["RS384"],
    ["RS512"],
    ["PS256"],
    ["ES384"],
    ["ES512"],
    ["ES256K"],
    ["RSA1_5"],
    ["dir"],
  ])("T2 %j is rejected", async (alg) => route.expectRefused(withAlg(alg), "algorithm_not_allowed"));

  test("T2 T15 for any alg, only the key's own algorithm is accepted", async () => {
    const name = fc.oneof(fc.string(), fc.jsonValue(), fc.constantFrom("RS256", "ES256", "Ed25519", "EdDSA"));
    await fc.assert(
      fc.asyncProperty(name, async (alg) => {
        expect((await route.verifier.verify(withAlg(alg))).allowed).toBe(alg === "RS256");
      }),
    );
  });
});

describe("T3 a public key is never a shared secret", () => {
  const serialisations: [string, (key: TestKey) => string | Buffer][] = [
    ["SPKI PEM", (key) => key.publicKey.export({ type: "spki", format: "pem" })],
    [
      "SPKI PEM without its last line end",
      (key) => (key.publicKey.export({ type: "spki", format: "pem" }) as string).trimEnd(),
    ],
    ["PEM after a comment", (key) => `# key\n${key.publicKey.export({ type: "spki", format: "pem" }) as string}`],
    ["SPKI DER", (key) => key.publicKey.export({ type: "spki", format: "der" })],
    ["JWK", (key) => JSON.stringify(key.jwk)],
    ["public JWK", (key) => JSON.stringify(key.publicKey.export({ format: "jwk" }))],
    ["modulus", (key) => Buffer.from((key.jwk["n"] ?? key.jwk["x"]) as string, "base64url")],
    ["nothing", () => ""],
  ];
  test.each(serialisations)("T3 HMAC with the public key as %s is rejected", async (_name, secretOf) => {
    for (const key of [rsa, ec, ed]) {
      const own = await openPrimedRoute(key);
      for (const [alg, hash] of [
        ["HS256", "sha256"],
        ["HS384", "sha384"],
        ["HS512", "sha512"],
      ] as const) {
        const input = `${base64url({ alg, typ: "JWT", kid: key.kid })}.${base64url(goodClaims())}`;
        const mac = createHmac(hash, secretOf(key)).update(input).digest("base64url");
        await own.expectRefused(`${input}.${mac}`, "algorithm_not_allowed");
      }
      const input = `${base64url(headerOf(key))}.${base64url(goodClaims())}`;
      await own.expectRefused(
        `${input}.${createHmac("sha256", secretOf(key)).update(input).digest("base64url")}`,
        "signature_invalid",
      );
    }
  });
});

test("T3 the source contains no code for shared secrets", () => {
  const source = fileURLToPath(new URL("../../../src/", import.meta.url));
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  expect(files.length).toBeGreaterThan(20);
  for (const file of files) {
    expect(readFileSync(path.join(source, file), "utf8"), file).not.toMatch(/hmac|createSecretKey|\bHS\d{3}\b/i);
  }
});

describe("T6 T7 keys named by the token are never used", () => {
  const attacker = rsaKey(rsa.kid);

  test("T6 an embedded jwk, x5c or x5t is not read", async () => {
    const x5c = ["MIIB"];
    for (const header of [
      { jwk: attacker.jwk },
      { jwk: attacker.jwk, kid: "s-attacker" },
      { x5c },
      { x5t: "AA", "x5t#S256": "AA" },
    ]) {
      const token = forge(attacker, { ...headerOf(rsa), ...header }, goodClaims());
      if (header.kid === undefined) await route.expectRefused(token, "signature_invalid");
      else await route.expectRefused(token, "key_unknown", { fetches: 1 });
    }
    await route.expectAllowed(tokenBy(rsa, {}, { jwk: attacker.jwk }));
  });

  test("T7 jku, x5u and an iss that is a URL cause no connection", async () => {
    const trap = await listen((_req, res) => res.end(JSON.stringify({ keys: [attacker.jwk] })));
    for (const header of [
      { jku: `${trap.url}/keys` },
      { x5u: `${trap.url}/cert` },
      { jku: trap.url, x5u: trap.url, kid: rsa.kid },
    ]) {
      await route.expectRefused(
        forge(attacker, { ...headerOf(rsa), ...header }, goodClaims({ iss: trap.url })),
        "signature_invalid",
      );
    }
    await route.expectAllowed(tokenBy(rsa, { iss: trap.url }, { jku: trap.url }));
    expect(trap.connections()).toBe(0);
  });
});

describe("T8 T9 header parameters that change how a token is read", () => {
  test.each([
    [["exp"]],
    [[]],
    [["alg"]],
    [["b64"]],
    [["x", "x"]],
    [["kid", "typ"]],
    ["exp"],
    [null],
    [true],
    [{}],
    [0],
    [[1]],
    [["http://example.test/unknown"]],
  ])("T8 crit %j is rejected", async (crit) =>
    route.expectRefused(tokenBy(rsa, {}, { crit, x: 1 }), "header_not_allowed"),
  );

  test.each([[{ b64: false }], [{ b64: true }], [{ b64: null }], [{ b64: false, crit: ["b64"] }]])(
    "T9 %j is rejected",
    async (header) => route.expectRefused(tokenBy(rsa, {}, header), "header_not_allowed"),
  );

  test("T9 an unencoded or a detached payload is rejected", async () => {
    const header = base64url({ ...headerOf(rsa), b64: false, crit: ["b64"] });
    const payload = JSON.stringify(goodClaims({ iss: "core" })); // without a dot
    const signature = base64url(signatureOf(rsa, `${header}.${payload}`));
    await route.expectRefused(`${header}.${payload}.${signature}`, "header_not_allowed");
    await route.expectRefused(`${header}..${signature}`, "header_not_allowed");
    const [head, , mark] = tokenBy(rsa).split(".");
    await route.expectRefused(`${head}..${mark}`, "token_malformed");
  });
});
