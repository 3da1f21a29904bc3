import { describe, expect, test } from "vitest";
import { parseKeySet, readJwk } from "../../src/protocol/jwk.ts";
import { importKey } from "../../src/crypto/signature.ts";
import { ecKey, edKey, rsaKey, type Jwk } from "../support/keys.ts";
import { readVectors } from "../support/vectors.ts";

const rsa = rsaKey();
const ec = ecKey();
const ed = edKey();
const setOf = (...keys: unknown[]) => parseKeySet(JSON.stringify({ keys }));
const without = (jwk: Jwk, ...names: string[]) =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => !names.includes(name)));

function problemOf(jwk: unknown): string | undefined {
  const read = readJwk(jwk);
  return read.ok ? undefined : read.problem;
}

describe("readJwk", () => {
  test.each([
    [rsa, "RS256"],
    [ec, "ES256"],
    [ed, "Ed25519"],
  ] as const)("T4 the key decides the algorithm, with and without alg: %#", (key, algorithm) => {
    for (const jwk of [key.jwk, without(key.jwk, "alg"), without(key.jwk, "alg", "use")]) {
      const read = readJwk(jwk);
      expect(read).toMatchObject({ ok: true, key: { kid: key.kid, algorithm } });
    }
  });

  test("only the public parameters are kept", () => {
    expect(readJwk({ ...ec.jwk, x5u: "https://evil.test", key_ops: ["verify"] })).toEqual({
      ok: true,
      key: {
        kid: ec.kid,
        algorithm: "ES256",
        jwk: { kty: "EC", crv: "P-256", x: ec.jwk["x"], y: ec.jwk["y"] },
      },
    });
  });

  test("EdDSA is also a name for an Ed25519 key", () => expect(problemOf({ ...ed.jwk, alg: "EdDSA" })).toBeUndefined());

  test.each([
    ["RS384", rsa.jwk],
    ["PS256", rsa.jwk],
    ["HS256", rsa.jwk],
    ["rs256", rsa.jwk],
    ["ES256", rsa.jwk],
    ["RSA-OAEP", rsa.jwk],
    ["", rsa.jwk],
    [null, rsa.jwk],
    [["RS256"], rsa.jwk],
    ["RS256", ec.jwk],
    ["ES384", ec.jwk],
    ["ES521", ec.jwk],
    ["ES256K", ec.jwk],
    ["EdDSA", ec.jwk],
    ["RS256", ed.jwk],
    ["Ed448", ed.jwk],
    ["none", ed.jwk],
  ])("T15 alg %j does not fit its key: %#", (alg, jwk) => {
    expect(problemOf({ ...jwk, alg })).toBe("alg does not match the key");
  });

  test.each([["P-384"], ["P-521"], ["secp256k1"], ["p-256"], ["Ed25519"], [undefined]])(
    "T15 EC with curve %s is rejected",
    (crv) => expect(problemOf({ ...without(ec.jwk, "crv", "alg"), ...(crv && { crv }) })).toBe("crv is not P-256"),
  );

  test.each([["X25519"], ["Ed448"], ["P-256"]])("T15 OKP with curve %s is rejected", (crv) =>
    expect(problemOf({ ...ed.jwk, crv })).toBe("crv is not Ed25519"),
  );

  test.each([["oct"], ["rsa"], [""], [undefined], [null], [["RSA"]]])("T15 kty %j is rejected", (kty) =>
    expect(problemOf({ ...rsa.jwk, kty })).toBe("kty is not RSA, EC or OKP"),
  );

  test("T16 weak RSA keys are rejected: short, long, e of 1, 2 or 3, not canonical", () => {
    expect(problemOf(rsaKey("k", 1024).jwk)).toMatch(/2048 to 8192 bits/);
    expect(problemOf(rsaKey("k", 2040).jwk)).toMatch(/2048 to 8192 bits/);
    const bits2047 = Buffer.alloc(256, 0xff);
    bits2047[0] = 0x7f;
    expect(problemOf({ ...rsa.jwk, n: bits2047.toString("base64url") })).toMatch(/2048 to 8192 bits/);
    expect(problemOf({ ...rsa.jwk, n: Buffer.alloc(1025, 0xff).toString("base64url") })).toMatch(/2048 to 8192 bits/);
    const n = Buffer.from(rsa.jwk["n"] as string, "base64url");
    expect(problemOf({ ...rsa.jwk, n: Buffer.concat([Buffer.alloc(1), n]).toString("base64url") })).toMatch(
      /canonical/,
    );
    for (const e of ["AQ", "Ag", "Aw", "AAEAAQ", "AQABAA", "AQAB=", "", 65537, null]) {
      expect(problemOf({ ...rsa.jwk, e }), JSON.stringify(e)).toBe("e is not 65537");
    }
  });

  test("T16 a modulus of the ROCA generator is rejected at any length", () => {
    // That generator's moduli are 65537^k modulo every small prime. 65537^128 is an example with 2049 bits.
    const n = (65_537n ** 128n).toString(16).padStart(514, "0");
    expect(problemOf({ ...rsa.jwk, n: Buffer.from(n, "hex").toString("base64url") })).toMatch(/CVE-2017-15361/);
  });

  test.each([["d"], ["p"], ["q"], ["dp"], ["dq"], ["qi"], ["oth"], ["k"], ["priv"]])(
    "K9 a key with the private or symmetric member %s is rejected",
    (name) => {
      expect(problemOf({ ...rsa.jwk, [name]: "AA" })).toBe("contains private or symmetric key members");
      expect(problemOf({ ...ed.jwk, [name]: undefined })).toBe("contains private or symmetric key members");
    },
  );

  test("K9 complete private JWKs are rejected", () => {
    for (const key of [rsa, ec, ed]) {
      expect(problemOf({ ...key.privateKey.export({ format: "jwk" }), kid: "k" })).toMatch(/private/);
    }
  });

  test("a key for any use other than verifying is rejected", () => {
    for (const use of ["enc", "", null, ["sig"]]) expect(problemOf({ ...rsa.jwk, use })).toBe("use is not 'sig'");
    for (const key_ops of [["encrypt"], [], "verify", ["sign"], null]) {
      expect(problemOf({ ...rsa.jwk, key_ops })).toBe("key_ops lacks 'verify'");
    }
  });

  test("coordinates have 32 bytes, in canonical base64url", () => {
    for (const x of ["AA", `${ec.jwk["x"] as string}AA`, `${ec.jwk["x"] as string}=`, 1, undefined, ["AA"]]) {
      expect(problemOf({ ...ec.jwk, x })).toBe("x or y is not 32 bytes");
      expect(problemOf({ ...ed.jwk, x })).toBe("x is not 32 bytes");
    }
  });

  test.each([[null], ["key"], [1], [[]], [undefined]])("a value that is not an object is rejected: %j", (jwk) =>
    expect(problemOf(jwk)).toBe("not an object"),
  );
});

describe("T17 Ed25519 keys of small order", () => {
  const xOf = (hex: string) => ({
    kty: "OKP",
    crv: "Ed25519",
    kid: "k",
    x: Buffer.from(hex, "hex").toString("base64url"),
  });
  const signBit = (hex: string) => hex.slice(0, 62) + (parseInt(hex.slice(62), 16) | 0x80).toString(16);
  const weak = [
    "00".repeat(32),
    "01" + "00".repeat(31),
    "ec" + "ff".repeat(30) + "7f",
    "ed" + "ff".repeat(30) + "7f",
    "ee" + "ff".repeat(30) + "7f",
    "ff" + "ff".repeat(30) + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  ];

  test.each(weak)("T17 %s is rejected with either sign", (hex) => {
    expect(problemOf(xOf(hex))).toMatch(/weak point/);
    expect(problemOf(xOf(signBit(hex)))).toMatch(/weak point/);
  });

  test("T17 keys of small order or not canonical, according to the vectors, are rejected; all others are accepted", () => {
    const vectors = readVectors<{ key: string; flags: string[] | null }[]>("ed25519/cctv_ed25519vectors.json") ?? [];
    for (const { key, flags } of vectors) {
      const isWeak = flags?.some((flag) => flag === "low_order_A" || flag === "non_canonical_A") ?? false;
      expect(readJwk(xOf(key)).ok, key).toBe(!isWeak);
    }
    const cases = readVectors<{ pub_key: string }[]>("ed25519/speccheck_cases.json") ?? [];
    // Cases 0 and 1 have keys of small order, 10 and 11 keys that are not canonical; others differ in the signature.
    cases.forEach(({ pub_key }, i) => expect(readJwk(xOf(pub_key)).ok, String(i)).toBe(![0, 1, 10, 11].includes(i)));
  });

  test("valid keys are accepted", () => {
    for (let i = 0; i < 50; i++) expect(readJwk(edKey().jwk).ok).toBe(true);
  });
});

describe("parseKeySet", () => {
  test("K8 an invalid key is skipped and reported, all others are used", () => {
    const set = setOf(rsa.jwk, { kty: "RSA", kid: "broken" }, null, { ...ec.jwk, kid: 7 }, ed.jwk);
    expect(set).toMatchObject({
      ok: true,
      keys: [{ kid: rsa.kid }, { kid: ed.kid }],
      skipped: [
        { kid: "broken" },
        { kid: undefined, problem: "not an object" },
        { kid: undefined, problem: "missing or invalid kid" },
      ],
    });
  });

  test("K8 a kid of two different keys belongs to neither; the same key twice counts once", () => {
    const twin = ecKey(rsa.kid);
    expect(setOf(rsa.jwk, twin.jwk, ed.jwk)).toMatchObject({
      ok: true,
      keys: [{ kid: ed.kid }],
      skipped: [{ kid: rsa.kid, problem: "duplicate kid" }],
    });
    expect(setOf(rsa.jwk, twin.jwk, rsa.jwk)).toMatchObject({ ok: true, keys: [] });
    const twice = setOf(rsa.jwk, { ...rsa.jwk, x5t: "other" });
    expect(twice.ok && twice.keys.map((key) => key.kid)).toEqual([rsa.kid]);
    expect(twice.ok && twice.skipped).toEqual([]);
  });

  test("K8 a set of more than 64 keys is rejected", () => {
    const many = (count: number) => setOf(...Array.from({ length: count }, (_, i) => ({ ...ed.jwk, kid: `k${i}` })));
    expect(many(64)).toMatchObject({ ok: true });
    expect(many(65)).toEqual({ ok: false, problem: "more than 64 keys" });
  });

  test.each([
    ["", /syntax/],
    ["[]", /not-an-object/],
    ["{}", /no array/],
    ['{"keys":{}}', /no array/],
    ['{"keys":[],"keys":[]}', /duplicate-name/],
    ['{"keys":[{"__proto__":{}}]}', /forbidden-name/],
    [`{"keys":${"[".repeat(8)}${"]".repeat(8)}}`, /depth/],
  ])("K8 the set %s is rejected", (text, problem) => {
    const set = parseKeySet(text);
    expect(set.ok ? "read" : set.problem).toMatch(problem);
  });

  test("C7 names of Object.prototype members are ordinary kids", () => {
    const kids = ["__proto__", "constructor", "toString", "hasOwnProperty"];
    const set = setOf(...kids.map((kid) => ({ ...ed.jwk, kid })));
    expect(set.ok && set.keys.map((key) => key.kid)).toEqual(kids);
  });

  test("the keys are frozen", () => {
    const set = setOf(ec.jwk);
    if (!set.ok) throw new Error(set.problem);
    expect(Object.isFrozen(set.keys[0]) && Object.isFrozen(set.keys[0]!.jwk)).toBe(true);
  });
});

describe("importKey", () => {
  test("T15 a point that is not on its curve is not a key", () => {
    const y = Buffer.from(ec.jwk["y"] as string, "base64url");
    y[31]! ^= 1;
    const read = readJwk({ ...ec.jwk, y: y.toString("base64url") });
    if (!read.ok) throw new Error(read.problem);
    expect(() => importKey(read.key)).toThrow();
  });
});
