import { describe, expect, test } from "vitest";
import { algorithmNamed } from "../src/protocol/algorithms.ts";
import { decodeBase64url, decodeUtf8 } from "../src/protocol/base64url.ts";
import { parseKeySet, readJwk } from "../src/protocol/jwk.ts";
import { decodeJwt } from "../src/protocol/jwt.ts";
import { parseStrictJson, type JsonObject } from "../src/protocol/strict-json.ts";
import { importKey, verifySignature, type ImportedKey } from "../src/signature.ts";
import { ecKey, edKey, rsaKey, signatureOf, type Jwk } from "./support/keys.ts";
import { readVectors } from "./support/vectors.ts";

interface Group {
  comment: string;
  private?: Jwk & { keys?: Jwk[] };
  public?: Jwk & { keys?: Jwk[] };
  tests: { tcId: number; comment: string; jws: unknown; result: "valid" | "invalid" }[];
}

const PRIVATE = ["d", "p", "q", "dp", "dq", "qi"];
const publicPart = (jwk: Jwk) => Object.fromEntries(Object.entries(jwk).filter(([name]) => !PRIVATE.includes(name)));

/** The members of a key set that can be used, as a verifier would use them. */
function importSet(keys: Jwk[]): Map<string, ImportedKey> {
  const document = parseKeySet(JSON.stringify({ keys }));
  const imported = new Map<string, ImportedKey>();
  for (const key of document.ok ? document.keys : []) {
    try {
      imported.set(key.kid, importKey(key));
    } catch {
      // the numbers are no key
    }
  }
  return imported;
}

/** The vectors sign texts that are no claims, so this stops where the claims would be read. */
function signatureHolds(jws: unknown, keys: ReadonlyMap<string, ImportedKey>, defaultKid?: string): boolean {
  if (typeof jws !== "string") return false;
  const parts = jws.split(".");
  const [headerPart = "", payloadPart = "", signaturePart = ""] = parts;
  const headerBytes = decodeBase64url(headerPart);
  const signature = decodeBase64url(signaturePart);
  if (parts.length !== 3 || !headerBytes || !signature || !decodeBase64url(payloadPart)) return false;
  const header: JsonObject | undefined = (() => {
    const parsed = parseStrictJson(decodeUtf8(headerBytes) ?? "", 16);
    return parsed.ok ? parsed.value : undefined;
  })();
  if (header === undefined || "crit" in header || "b64" in header) return false;
  const key = keys.get((header["kid"] ?? defaultKid) as string);
  return (
    key !== undefined &&
    algorithmNamed(header["alg"]) === key.algorithm &&
    verifySignature(key, `${headerPart}.${payloadPart}`, signature)
  );
}

describe("Wycheproof json_web_signature", () => {
  const groups = readVectors<{ testGroups: Group[] }>("wycheproof/json_web_signature_test.json")?.testGroups ?? [];
  // What these keys sign is refused whatever the mark: the vectors' own mistakes, see the README beside them.
  const mismarked = new Set([346, 347, 350, 351, 372, 373]);

  test("T6 T14 every token of RS256, ES256 and Ed25519 is judged as marked, every other algorithm is refused", () => {
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

  test("T15 T16 K8 only the one good public key of ours is used", () => {
    for (const group of groups) {
      const keys = (group.public ?? group.private!).keys!;
      for (const { tcId, comment, jws, result } of group.tests) {
        const expected = result === "valid" && ![2, 13, 14, 15].includes(tcId);
        expect(signatureHolds(jws, importSet(keys)), `${tcId} ${comment}`).toBe(expected);
      }
    }
  });
});

describe("Wycheproof ed25519", () => {
  interface EdGroup {
    publicKeyJwk: Jwk;
    tests: { tcId: number; comment: string; msg: string; sig: string; result: "valid" | "invalid" }[];
  }
  const groups = readVectors<{ testGroups: EdGroup[] }>("wycheproof/ed25519_test.json")?.testGroups ?? [];

  test("every signature is judged as marked", () => {
    for (const group of groups) {
      const read = readJwk(group.publicKeyJwk);
      if (!read.ok) throw new Error(read.problem);
      const key = importKey(read.key);
      for (const { tcId, comment, msg, sig, result } of group.tests) {
        const input = Buffer.from(msg, "hex").toString("latin1");
        expect(verifySignature(key, input, Buffer.from(sig, "hex")), `${tcId} ${comment}`).toBe(result === "valid");
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

  test.each(keys)("T14 a signature has the length of its key's, and not one byte more or less: $algorithm", (key) => {
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

  test("T15 no key takes another algorithm's signature", () => {
    for (const signer of keys) {
      for (const other of keys) {
        expect(verifySignature(imported(other), "a.b", signatureOf(signer, "a.b"))).toBe(signer === other);
      }
    }
  });
});
