import { describe, expect, test } from "vitest";
import { algorithmNamed } from "../../src/protocol/algorithms.ts";
import { readJwk } from "../../src/protocol/jwk.ts";
import { decodeJwt } from "../../src/protocol/jwt.ts";
import { importKey, verifySignature } from "../../src/crypto/signature.ts";
import { ecKey, edKey, rsaKey, signatureOf, type Jwk } from "../support/keys.ts";
import { importSet, publicPart, signatureHolds } from "../support/signed-text.ts";
import { readVectors } from "../support/vectors.ts";

interface Group {
  comment: string;
  private?: Jwk & { keys?: Jwk[] };
  public?: Jwk & { keys?: Jwk[] };
  tests: { tcId: number; comment: string; jws: unknown; result: "valid" | "invalid" }[];
}

describe("Wycheproof json_web_signature", () => {
  const groups = readVectors<{ testGroups: Group[] }>("wycheproof/json_web_signature_test.json")?.testGroups ?? [];
  // Signatures by these keys are always rejected: errors of the vectors, see the README next to them.
  const mismarked = new Set([346, 347, 350, 351, 372, 373]);

  test("T6 T14 RS256, ES256 and Ed25519 tokens are accepted or rejected as the vectors say, all others are rejected", () => {
    let [accepted, refused] = [0, 0];
    for (const group of groups) {
      const jwk = group.public ?? group.private!;
      const ours = algorithmNamed(jwk["alg"]) !== undefined;
      const keys = importSet([{ kid: "default", ...publicPart(jwk) }]);
      for (const { tcId, comment, jws, result } of group.tests) {
        const expected = ours && result === "valid" && !mismarked.has(tcId);
        expect(signatureHolds(jws, keys, "default"), `${tcId} ${group.comment} ${comment}`).toBe(expected);
        if (!expected) expect(decodeJwt(jws).ok && signatureHolds(jws, keys), `${tcId}`).toBe(false);
        expected ? accepted++ : refused++;
      }
    }
    if (groups.length > 0) expect([accepted >= 8, refused >= 355]).toEqual([true, true]);
  });
});

describe("Wycheproof json_web_key", () => {
  const groups = readVectors<{ testGroups: Group[] }>("wycheproof/json_web_key_test.json")?.testGroups ?? [];

  test("T15 T16 K8 only the one valid public key of a supported type is used", () => {
    for (const group of groups) {
      const keys = (group.public ?? group.private!).keys!;
      for (const { tcId, comment, jws, result } of group.tests) {
        const expected = result === "valid" && ![2, 13, 14, 15].includes(tcId);
        expect(signatureHolds(jws, importSet(keys)), `${tcId} ${comment}`).toBe(expected);
      }
    }
  });
});

describe("verifySignature", () => {
  const keys = [rsaKey(), ecKey(), edKey()];
  const imported = (key: (typeof keys)[number]) => {
    const read = readJwk(key.jwk);
    if (!read.ok) throw new Error(read.problem);
    return importKey(read.key);
  };

  test.each(keys)("T14 a signature has exactly the length that its key requires: $algorithm", (key) => {
    const signature = signatureOf(key, "a.b");
    const ready = imported(key);
    expect(verifySignature(ready, "a.b", signature)).toBe(true);
    expect(verifySignature(ready, "a.c", signature)).toBe(false);
    for (const wrong of [
      signature.subarray(1),
      signature.subarray(0, -1),
      Buffer.concat([signature, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), signature]),
      Buffer.alloc(signature.length),
      Buffer.alloc(0),
    ]) {
      expect(verifySignature(ready, "a.b", wrong)).toBe(false);
    }
  });

  test("T15 no key accepts another algorithm's signature", () => {
    for (const signer of keys) {
      for (const other of keys) {
        expect(verifySignature(imported(other), "a.b", signatureOf(signer, "a.b"))).toBe(signer === other);
      }
    }
  });
});
