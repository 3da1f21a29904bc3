// Public vectors of bare signatures, and of the documents that define the formats. They do not sign claims, so these
// tests run what a verifier does before it reads the claims.
import { describe, expect, test } from "vitest";
import { readJwk } from "../../src/protocol/jwk.ts";
import { decodeJwt } from "../../src/protocol/jwt.ts";
import { importKey, verifySignature, type ImportedKey } from "../../src/crypto/signature.ts";
import { base64url, type Jwk } from "../support/keys.ts";
import { importSet, publicPart, signatureHolds } from "../support/signed-text.ts";
import { readVectors, vectorFiles } from "../support/vectors.ts";

interface Case {
  tcId: number;
  comment: string;
  msg: string;
  sig: string;
  result: "valid" | "invalid" | "acceptable";
}

const wycheproof = <Group>(name: string) =>
  readVectors<{ testGroups: (Group & { tests: Case[] })[] }>(`wycheproof/${name}_test.json`)?.testGroups ?? [];

const bytesOf = (hex: string) => Buffer.from(hex, "hex");
const holds = (key: ImportedKey, { msg, sig }: Case) =>
  verifySignature(key, bytesOf(msg).toString("latin1"), bytesOf(sig));

/** Returns the key as a verifier imports it, or why it cannot. */
function importOne(jwk: Jwk): ImportedKey | string {
  const read = readJwk({ kid: "k", ...jwk });
  return read.ok ? importKey(read.key) : read.problem;
}

function imported(jwk: Jwk): ImportedKey {
  const key = importOne(jwk);
  if (typeof key === "string") throw new Error(key);
  return key;
}

describe("Wycheproof ECDSA", () => {
  interface Group {
    publicKey: { uncompressed: string };
  }
  const jwkOf = (crv: string, { publicKey }: Group): Jwk => {
    const point = bytesOf(publicKey.uncompressed).subarray(1);
    const [x, y] = [point.subarray(0, point.length / 2), point.subarray(point.length / 2)];
    return { kty: "EC", crv, x: base64url(x), y: base64url(y) };
  };

  test("T13 T14 every P-256 signature is accepted or rejected as the vectors say", () => {
    for (const group of wycheproof<Group>("ecdsa_secp256r1_sha256_p1363")) {
      const key = imported(jwkOf("P-256", group));
      for (const one of group.tests) expect(holds(key, one), `${one.tcId} ${one.comment}`).toBe(one.result === "valid");
    }
  });

  test.each([
    ["P-384", "ecdsa_secp384r1_sha384_p1363"],
    ["P-521", "ecdsa_secp521r1_sha512_p1363"],
  ])("T15 no key of %s is imported, with its own curve or with P-256", (crv, name) => {
    for (const group of wycheproof<Group>(name)) {
      expect(importOne(jwkOf(crv, group))).toBe("crv is not P-256");
      expect(importOne(jwkOf("P-256", group))).toBe("x or y is not 32 bytes");
    }
  });
});

describe("Wycheproof RSA", () => {
  interface Group {
    publicKey: { modulus: string; publicExponent: string };
    sha: string;
  }
  const jwkOf = ({ publicKey: { modulus, publicExponent } }: Group): Jwk => {
    const [n, e] = [modulus, publicExponent].map((hex) => base64url(bytesOf(hex.replace(/^00/, ""))));
    return { kty: "RSA", n, e };
  };

  test.each([[2048], [3072], [4096]])(
    "T14 every signature by %i bits and SHA-256 is accepted or rejected as the vectors say",
    (bits) => {
      for (const group of wycheproof<Group>(`rsa_signature_${bits}_sha256`)) {
        const key = importOne(jwkOf(group));
        if (group.publicKey.publicExponent === "03") {
          expect(key).toBe("e is not 65537");
          continue;
        }
        for (const one of group.tests) {
          // "acceptable" lacks a NULL that PKCS #1 requires, so we reject it.
          const is = typeof key !== "string" && holds(key, one);
          expect(is, `${one.tcId} ${one.comment}`).toBe(one.result === "valid");
        }
      }
    },
  );

  test.each([
    ["rsa_signature_2048_sha384", 221],
    ["rsa_signature_2048_sha512", 221],
    ["rsa_pss_2048_sha256_mgf1_32", 108],
  ])("T2 of %s, only case %i is accepted for RS256, because it is an RS256 signature", (name, really) => {
    for (const group of wycheproof<Group>(name)) {
      const key = importOne(jwkOf(group));
      if (typeof key === "string") continue; // one group has e = 3
      expect(group.tests.filter((one) => holds(key, one)).map((one) => one.tcId)).toEqual([really]);
    }
  });
});

test("T3 Wycheproof HMAC: no secret is imported as a key", () => {
  for (const { tests } of wycheproof<object>("hmac_sha256")) {
    for (const { key, tcId } of tests as unknown as { key: string; tcId: number }[]) {
      const k = base64url(bytesOf(key));
      for (const jwk of [
        { kty: "oct", k },
        { kty: "oct", k, alg: "HS256" },
        { kty: "RSA", k, n: k, e: "AQAB" },
      ]) {
        expect(typeof importOne(jwk), `${tcId}`).toBe("string");
      }
    }
  }
});

describe("Ed25519", () => {
  const jwkOf = (hex: string): Jwk => ({ kty: "OKP", crv: "Ed25519", x: base64url(bytesOf(hex)) });

  test("Wycheproof: every signature is accepted or rejected as the vectors say", () => {
    for (const { publicKeyJwk, tests } of wycheproof<{ publicKeyJwk: Jwk }>("ed25519")) {
      const key = imported(publicKeyJwk);
      for (const one of tests) expect(holds(key, one), `${one.tcId} ${one.comment}`).toBe(one.result === "valid");
    }
  });

  test("T17 CCTV: with the imported keys, every valid signature is canonical and has no small-order component", () => {
    interface Vector {
      number: number;
      key: string;
      sig: string;
      msg: string;
      flags: string[] | null;
    }
    for (const { number, key: hex, sig, msg, flags } of readVectors<Vector[]>("ed25519/cctv_ed25519vectors.json") ??
      []) {
      const key = importOne(jwkOf(hex));
      const has = (flag: string) => flags?.includes(flag) ?? false;
      const isWeak = has("low_order_A") || has("non_canonical_A");
      expect(typeof key === "string", `${number}`).toBe(isWeak);
      if (typeof key === "string") continue;
      const expected = !has("low_order_residue") && !has("non_canonical_R");
      expect(verifySignature(key, msg, bytesOf(sig)), `${number} ${flags?.join(" ")}`).toBe(expected);
    }
  });

  test("T17 speccheck: accepts only the two with a valid key and an equation that holds without the cofactor", () => {
    interface Vector {
      message: string;
      pub_key: string;
      signature: string;
    }
    const vectors = readVectors<Vector[]>("ed25519/speccheck_cases.json") ?? [];
    const held = vectors.flatMap(({ message, pub_key, signature }, i) => {
      const key = importOne(jwkOf(pub_key));
      const text = bytesOf(message).toString("latin1");
      return typeof key !== "string" && verifySignature(key, text, bytesOf(signature)) ? [i] : [];
    });
    if (vectors.length > 0) expect(held).toEqual([2, 3]);
  });
});

describe("RFC 7515 and 8037", () => {
  interface Vectors {
    jws: { id: string; alg: string; key: Jwk | null; jws: string }[];
  }

  test("T1 T3 signatures of supported algorithms are valid, but without a kid they are not tokens", () => {
    for (const { id, alg, key, jws } of readVectors<Vectors>("rfc/rfc7515_8037_7638.json")?.jws ?? []) {
      const keys = importSet(key === null ? [] : [{ ...key, kid: "k" }]);
      expect(signatureHolds(jws, keys, "k"), id).toBe(["RS256", "ES256", "EdDSA"].includes(alg));
      const changed = jws.replace(/\.(.)/, (_, first) => (first === "e" ? ".f" : ".e"));
      expect(signatureHolds(changed, keys, "k"), id).toBe(false);
      expect(decodeJwt(jws).ok, id).toBe(false);
    }
  });
});

describe("the cookbook of RFC 7520, 7797 and 8037", () => {
  interface Recipe {
    input: { key: Jwk | Jwk[] };
    output: { compact?: string; json?: object; json_flat?: object };
  }
  const filesOf = (folder: string) =>
    vectorFiles(`jose-cookbook/${folder}`).map((file) => `jose-cookbook/${folder}/${file}`);

  test("T9 T10 compact signatures of supported algorithms are valid; all other forms and algorithms are rejected", () => {
    for (const file of ["jws", "rfc7797", "curve25519"].flatMap(filesOf)) {
      const { input, output } = readVectors<Recipe>(file)!;
      const keys = importSet([input.key].flat().map((jwk) => ({ kid: "k", ...publicPart(jwk) })));
      const isOurs = file.endsWith("4_1.rsa_v15_signature.json") || file.endsWith("curve25519/jws.json");
      // If a key has its own kid, the token names it too.
      expect(signatureHolds(output.compact, keys, "k"), file).toBe(isOurs);
      for (const form of [output.json, output.json_flat, JSON.stringify(output.json), isOurs ? "" : output.compact]) {
        expect(decodeJwt(form).ok, file).toBe(false);
      }
    }
  });

  test("T15 K9 only its public RSA key can be imported", () => {
    for (const file of filesOf("jwk")) {
      const isKey = typeof importOne(readVectors<Jwk>(file)!) !== "string";
      expect(isKey, file).toBe(file.endsWith("3_3.rsa_public_key.json"));
    }
  });
});
