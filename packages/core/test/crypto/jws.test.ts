import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { publishedJwk } from "../../src/crypto/private-keys.ts";
import { signBytes, verifiesUnder } from "../../src/crypto/jws.ts";

test("concurrent signatures each use their own key, and one failing key does not affect the others", async () => {
  const pairs = [
    { algorithm: "ES256" as const, ...generateKeyPairSync("ec", { namedCurve: "P-256" }) },
    { algorithm: "Ed25519" as const, ...generateKeyPairSync("ed25519") },
    { algorithm: "RS256" as const, ...generateKeyPairSync("rsa", { modulusLength: 2048 }) },
  ];
  const texts = Array.from({ length: 60 }, (_, i) => `text ${i}`);
  const pairOf = (i: number) => pairs[i % pairs.length]!;
  const signatures = texts.map((text, i) => {
    const { algorithm, privateKey, publicKey } = pairOf(i);
    // Rejected before signing starts: not a private key.
    const key = i === 10 ? createPublicKey(publicKey.export({ format: "pem", type: "spki" })) : privateKey;
    return signBytes(algorithm, key, Buffer.from(text));
  });
  const settled = await Promise.allSettled(signatures);
  const good = settled.map((one, i) => {
    const { algorithm, publicKey } = pairOf(i);
    const publicJwk = publishedJwk(publicKey, "k", algorithm);
    return one.status === "fulfilled" && verifiesUnder({ algorithm, publicJwk }, texts[i]!, one.value);
  });
  expect(good).toEqual(texts.map((_, i) => i !== 10));
});
