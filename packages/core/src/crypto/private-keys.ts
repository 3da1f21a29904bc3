import { createPrivateKey, generateKeyPair, randomUUID, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import type { Algorithm, PublishedJwk } from "countersign/protocol";
import type { KeyKind } from "../domain/keys/signing-key.ts";
import type { KeyVault, Sealed } from "../ports/key-vault.ts";

const generate = promisify(generateKeyPair);

/** A new key. The private key is already encrypted and never leaves the function that generated it. */
export interface KeyMaterial extends Sealed {
  readonly kid: string;
  readonly publicJwk: PublishedJwk;
}

/**
 * Generates a key on the thread pool, so that it does not block the event loop.
 *
 * @param stamp milliseconds since the epoch, for the kid of a dynamic key
 */
export async function generateKeyMaterial(
  appId: string,
  kind: KeyKind,
  algorithm: Algorithm,
  stamp: number,
  vault: KeyVault,
): Promise<KeyMaterial> {
  const { publicKey, privateKey } = await generatePair(algorithm);
  const kid = kind === "static" ? `s-${randomUUID()}` : dynamicKid(stamp);
  const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
  const sealed = await vault.seal(pkcs8, { appId, kid });
  pkcs8.fill(0);
  return { kid, publicJwk: publishedJwk(publicKey, kid, algorithm), ...sealed };
}

/** Returns a kid in the format of existing cores. */
export function dynamicKid(stamp: number): string {
  return `d-${stamp}`;
}

function generatePair(algorithm: Algorithm): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  switch (algorithm) {
    case "RS256":
      return generate("rsa", { modulusLength: 2048, publicExponent: 65537 });
    case "ES256":
      return generate("ec", { namedCurve: "P-256" });
    case "Ed25519":
      return generate("ed25519");
  }
}

/** Returns the public key as it appears in key sets. */
export function publishedJwk(publicKey: KeyObject, kid: string, algorithm: Algorithm): PublishedJwk {
  const { kty, ...numbers } = publicKey.export({ format: "jwk" });
  return { kty, kid, ...numbers, alg: algorithm, use: "sig" } as PublishedJwk;
}

/** Decrypts a stored key for signing. */
export async function openPrivateKey(
  key: Sealed & { appId: string; kid: string },
  vault: KeyVault,
): Promise<KeyObject> {
  const pkcs8 = await vault.open(key.sealedPrivateKey, key);
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  pkcs8.fill(0);
  return privateKey;
}

/** Re-encrypts a private key with the current master key. */
export async function reseal(key: Sealed & { appId: string; kid: string }, vault: KeyVault): Promise<Sealed> {
  const pkcs8 = await vault.open(key.sealedPrivateKey, key);
  const sealed = await vault.seal(pkcs8, key);
  pkcs8.fill(0);
  return sealed;
}
