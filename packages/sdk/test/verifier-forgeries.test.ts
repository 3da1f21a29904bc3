// Forged and confused tokens against a verifier whose keys come from a real server.
import { createHmac } from "node:crypto";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { openPrimedDoor, type Door } from "./support/door.ts";
import { listen } from "./support/http.ts";
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
} from "./support/keys.ts";

const rsa = rsaKey();
const ec = ecKey();
const ed = edKey();
let door: Door;
beforeAll(async () => {
  door = await openPrimedDoor(rsa);
});

const withAlg = (alg: unknown, signature?: string) => {
  const token = forge(rsa, { ...headerOf(rsa), alg }, goodClaims());
  return signature === undefined ? token : token.slice(0, token.lastIndexOf(".") + 1) + signature;
};

test.each([[rsa], [ec], [ed]])("a good token of $algorithm passes", async (key: TestKey) => {
  const own = await openPrimedDoor(key);
  expect((await own.expectAllowed(tokenBy(key))).service).toBe("orders");
});

describe("T1 alg none", () => {
  const spellings = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((bits) =>
    [..."none"].map((letter, i) => (bits & (1 << i) ? letter.toUpperCase() : letter)).join(""),
  );
  const others = ["", " ", " none", "none ", "n\u043ene", "none\0", "null", "undefined", "false"];
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

  test.each(values.map((value) => [value]))("T1 alg %j is refused, with and without a signature", async (alg) => {
    for (const signature of [undefined, "", "AA"])
      await door.expectRefused(withAlg(alg, signature), "algorithm_not_allowed");
  });

  test("T1 no alg at all is refused", async () => {
    await door.expectRefused(forge(rsa, { typ: "JWT", kid: rsa.kid }, goodClaims()), "algorithm_not_allowed");
  });

  test("T1 a good header without a signature is refused", async () => {
    const token = tokenBy(rsa);
    await door.expectRefused(token.slice(0, token.lastIndexOf(".") + 1), "token_malformed");
    await door.expectRefused(token.slice(0, token.lastIndexOf(".")), "token_malformed");
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
  ])("T2 %j is refused", async (alg) => door.expectRefused(withAlg(alg), "algorithm_not_allowed"));

  test("T2 T15 whatever alg says, only the key's own name passes", async () => {
    const name = fc.oneof(fc.string(), fc.jsonValue(), fc.constantFrom("RS256", "ES256", "Ed25519", "EdDSA"));
    await fc.assert(
      fc.asyncProperty(name, async (alg) => {
        expect((await door.verifier.verify(withAlg(alg))).allowed).toBe(alg === "RS256");
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
  test.each(serialisations)("T3 HMAC with the public key as %s is refused", async (_name, secretOf) => {
    for (const key of [rsa, ec, ed]) {
      const own = await openPrimedDoor(key);
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
      if (header.kid === undefined) await door.expectRefused(token, "signature_invalid");
      else await door.expectRefused(token, "key_unknown", { fetches: 1 });
    }
    await door.expectAllowed(tokenBy(rsa, {}, { jwk: attacker.jwk }));
  });

  test("T7 jku, x5u and an iss that is a URL connect to nobody", async () => {
    const trap = await listen((_req, res) => res.end(JSON.stringify({ keys: [attacker.jwk] })));
    for (const header of [
      { jku: `${trap.url}/keys` },
      { x5u: `${trap.url}/cert` },
      { jku: trap.url, x5u: trap.url, kid: rsa.kid },
    ]) {
      await door.expectRefused(
        forge(attacker, { ...headerOf(rsa), ...header }, goodClaims({ iss: trap.url })),
        "signature_invalid",
      );
    }
    await door.expectAllowed(tokenBy(rsa, { iss: trap.url }, { jku: trap.url }));
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
  ])("T8 crit %j is refused", async (crit) =>
    door.expectRefused(tokenBy(rsa, {}, { crit, x: 1 }), "header_not_allowed"),
  );

  test.each([[{ b64: false }], [{ b64: true }], [{ b64: null }], [{ b64: false, crit: ["b64"] }]])(
    "T9 %j is refused",
    async (header) => door.expectRefused(tokenBy(rsa, {}, header), "header_not_allowed"),
  );

  test("T9 an unencoded or a detached payload is refused", async () => {
    const header = base64url({ ...headerOf(rsa), b64: false, crit: ["b64"] });
    const payload = JSON.stringify(goodClaims({ iss: "core" })); // without a dot
    const signature = base64url(signatureOf(rsa, `${header}.${payload}`));
    await door.expectRefused(`${header}.${payload}.${signature}`, "header_not_allowed");
    await door.expectRefused(`${header}..${signature}`, "header_not_allowed");
    const [head, , mark] = tokenBy(rsa).split(".");
    await door.expectRefused(`${head}..${mark}`, "token_malformed");
  });
});

describe("T13 T14 signatures of ES256", () => {
  const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const input = `${base64url(headerOf(ec))}.${base64url(goodClaims())}`;
  const numbers = (r: bigint, s: bigint) => [r, s].map((one) => one.toString(16).padStart(64, "0")).join("");
  const good = signatureOf(ec, input);
  const r = BigInt(`0x${good.subarray(0, 32).toString("hex")}`);
  const s = BigInt(`0x${good.subarray(32).toString("hex")}`);
  const tokenWith = (hex: string) => `${input}.${Buffer.from(hex, "hex").toString("base64url")}`;

  test("T13 the (r, n - s) twin is accepted, as the standard allows", async () => {
    const own = await openPrimedDoor(ec);
    await own.expectAllowed(tokenWith(numbers(r, ORDER - s)));
  });

  test("T14 zero, the order and beyond, DER and wrong lengths are refused", async () => {
    const own = await openPrimedDoor(ec);
    const max = (1n << 256n) - 1n;
    for (const [a, b] of [
      [0n, 0n],
      [0n, s],
      [r, 0n],
      [ORDER, s],
      [r, ORDER],
      [ORDER, ORDER],
      [1n, 1n],
      [max, max],
      [0n, 1n],
      [1n, 0n],
      [r, (ORDER + s) % max],
    ] as const) {
      await own.expectRefused(tokenWith(numbers(a, b)), "signature_invalid");
    }
    const integer = (hex: string) => (parseInt(hex.slice(0, 2), 16) > 127 ? `022100${hex}` : `0220${hex}`);
    const body = integer(numbers(r, s).slice(0, 64)) + integer(numbers(r, s).slice(64));
    const der = `30${(body.length / 2).toString(16)}${body}`;
    for (const hex of [
      der,
      numbers(r, s).slice(2),
      `00${numbers(r, s)}`,
      `${numbers(r, s)}00`,
      "00",
      numbers(r, s).repeat(2),
    ]) {
      await own.expectRefused(tokenWith(hex), "signature_invalid");
    }
  });
});

describe("a changed token", () => {
  test("any change of a signed character is refused", async () => {
    const token = tokenBy(rsa);
    const signed = token.lastIndexOf(".");
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: token.length - 1 }),
        fc.constantFrom(..."AQgwZz09-_."),
        async (at, character) => {
          fc.pre(token[at] !== character && at !== signed);
          expect((await door.verifier.verify(token.slice(0, at) + character + token.slice(at + 1))).allowed).toBe(
            false,
          );
        },
      ),
      { numRuns: 400 },
    );
  });

  test("another key's signature is refused under this key's id", async () => {
    await door.expectRefused(forge(rsaKey(), headerOf(rsa), goodClaims()), "signature_invalid");
  });
});
