// Key sets with unsupported keys: real keys of other types, whose signatures are valid for their own algorithms.
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openRoute } from "../../support/protected-route.ts";
import { base64url, ecKey, edKey, goodClaims, NOW, rsaKey, tokenBy, type Jwk } from "../../support/keys.ts";

const rsa = rsaKey();
const ec = ecKey();
const ed = edKey();

interface ForeignKey {
  readonly name: string;
  /** The supported algorithm of the same key type. */
  readonly mimics: "RS256" | "ES256" | "Ed25519";
  readonly pair: { privateKey: KeyObject; publicKey: KeyObject };
  readonly hash: string | null;
}

const ecOf = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve });
const rsaOf = (modulusLength: number, publicExponent = 0x10001) =>
  generateKeyPairSync("rsa", { modulusLength, publicExponent });
const foreign: readonly ForeignKey[] = [
  { name: "secp256k1", mimics: "ES256", pair: ecOf("secp256k1"), hash: "sha256" },
  { name: "P-384", mimics: "ES256", pair: ecOf("P-384"), hash: "sha384" },
  { name: "P-521", mimics: "ES256", pair: ecOf("P-521"), hash: "sha512" },
  { name: "Ed448", mimics: "Ed25519", pair: generateKeyPairSync("ed448"), hash: null },
  { name: "RSA of 1024 bits", mimics: "RS256", pair: rsaOf(1024), hash: "sha256" },
  { name: "RSA of 2040 bits", mimics: "RS256", pair: rsaOf(2040), hash: "sha256" },
  { name: "RSA with e = 3", mimics: "RS256", pair: rsaOf(2048, 3), hash: "sha256" },
];
const NAMES = ["RS256", "ES256", "Ed25519", "EdDSA", "ES384", "ES512", "ES256K", "Ed448", "RS384", "PS256"];

describe("T15 T16 keys of other kinds", () => {
  test.each(foreign)("T15 T16 $name is never used, whatever key set and token claim", async (key) => {
    const jwk = key.pair.publicKey.export({ format: "jwk" }) as Jwk;
    const ours = { RS256: {}, ES256: { crv: "P-256" }, Ed25519: { crv: "Ed25519" } }[key.mimics];
    const kid = "s-foreign";
    for (const published of [{ kid }, ...NAMES.map((alg) => ({ kid, alg })), { kid, ...ours, alg: key.mimics }]) {
      const route = await openRoute([{ ...jwk, ...published }, ed]);
      await route.expectAllowed(tokenBy(ed));
      expect(route.events).toMatchObject([{ keys: 1, skipped: [{ kid, problem: expect.any(String) }] }]);
      for (const alg of ["RS256", "ES256", "Ed25519"]) {
        const input = `${base64url({ alg, kid })}.${base64url(goodClaims())}`;
        const signature = sign(key.hash, Buffer.from(input), { key: key.pair.privateKey, dsaEncoding: "ieee-p1363" });
        const decision = await route.verifier.verify(`${input}.${base64url(signature)}`);
        expect(decision, `${JSON.stringify(published)} ${alg}`).toMatchObject({ reason: "key_unknown" });
      }
    }
  });

  test("T15 each key accepts only its own algorithm", async () => {
    const route = await openRoute([rsa, ec, ed]);
    for (const key of [rsa, ec, ed]) {
      const own = key === ed ? ["Ed25519", "EdDSA"] : [key.algorithm];
      for (const alg of NAMES) {
        const decision = await route.verifier.verify(tokenBy(key, {}, { alg }));
        expect(decision.allowed ? "allowed" : decision.reason, `${key.algorithm} ${alg}`).toBe(
          own.includes(alg) ? "allowed" : "algorithm_not_allowed",
        );
      }
    }
  });

  test("T15 the kid of one key with the signature of another is rejected", async () => {
    const route = await openRoute([rsa, ec, ed]);
    for (const signer of [rsa, ec, ed]) {
      for (const named of [rsa, ec, ed].filter((key) => key !== signer)) {
        for (const alg of [signer.algorithm, named.algorithm]) {
          const reason = alg === named.algorithm ? "signature_invalid" : "algorithm_not_allowed";
          const token = tokenBy(signer, {}, { kid: named.kid, alg });
          expect(await route.verifier.verify(token)).toMatchObject({ allowed: false, reason });
        }
      }
    }
  });
});

test("T17 every encoding of a weak Ed25519 key is skipped and reported", async () => {
  const orders = [
    "00".repeat(32),
    "01" + "00".repeat(31),
    "ec" + "ff".repeat(30) + "7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  ];
  const notReduced = Array.from({ length: 19 }, (_, i) => (0xed + i).toString(16) + "ff".repeat(30) + "7f");
  const bytes = [...orders, ...notReduced].map((hex) => Buffer.from(hex, "hex"));
  const negated = bytes.map((point) => point.map((byte, i) => (i === 31 ? byte | 0x80 : byte)));
  const weak = [...bytes, ...negated].map((x, i) => ({ kty: "OKP", crv: "Ed25519", kid: `w-${i}`, x: base64url(x) }));
  const route = await openRoute([...weak, ed]);
  await route.expectAllowed(tokenBy(ed));
  const problem = "x is a weak point";
  expect(route.events).toMatchObject([{ keys: 1, skipped: weak.map(({ kid }) => ({ kid, problem })) }]);
});

describe("K8 key sets that were damaged or made by an attacker", () => {
  const oddities: fc.Arbitrary<unknown> = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom("", "AQAB", "AQ", "RSA", "EC", "OKP", "oct", "sig", "enc", "P-384", "=", "é", 0, null, [], {}),
  );
  const change = fc.record({
    of: fc.constantFrom(rsa, ec, ed),
    name: fc.constantFrom("kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid", "d", "k", "x5c"),
    value: oddities,
  });

  test("K8 a changed member never accepts a forgery, and never affects the other keys", async () => {
    const forger = rsaKey(rsa.kid);
    const exp = NOW + 1_000_000; // later than the last round
    const route = await openRoute([]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 4 }),
        fc.array(oddities, { maxLength: 3 }),
        async (changes, added) => {
          const changed = changes.map(({ of, name, value }) => ({ ...of.jwk, [name]: value }));
          const hurt = new Set(changes.map(({ of }) => of));
          const intact = [rsa, ec, ed].filter((key) => !hurt.has(key));
          // A kid of two different keys belongs to neither, so an added key must not have the kid of an intact one.
          const others = [...changed, ...(added as Jwk[])].filter(
            (member) => !intact.some((key) => key.kid === (member as Jwk | null)?.["kid"]),
          );
          route.keys.publish(...others, ...intact);
          route.clock.advance(30);
          await route.verifier.verify(tokenBy(ed, { exp }, { kid: "s-none" })); // causes a fetch of the set
          for (const key of intact) await route.expectAllowed(tokenBy(key, { exp }));
          expect((await route.verifier.verify(tokenBy(forger, { exp }))).allowed).toBe(false);
        },
      ),
      { numRuns: 300 },
    );
    expect(route.events.filter((event) => event.type === "keys_refresh_failed")).toEqual([]);
  });
});
