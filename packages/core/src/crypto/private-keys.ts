import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  randomUUID,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import { setImmediate } from "node:timers"; // the program around an embedded core may put its own in place of the global one
import { promisify } from "node:util";
import type { Algorithm, PublicJwk, PublishedJwk } from "countersign/protocol";
import type { KeyKind } from "../domain/keys/signing-key.ts";
import type { KeyVault, Sealed } from "../ports/key-vault.ts";

const generate = promisify(generateKeyPair);

/** A new key, sealed already: its private part never leaves the function that made it. */
export interface KeyMaterial extends Sealed {
  readonly kid: string;
  readonly publicJwk: PublishedJwk;
}

/**
 * Makes a key on the thread pool, so that the event loop goes on serving.
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

/** The form that existing cores give it. */
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

/** As key sets show it. */
export function publishedJwk(publicKey: KeyObject, kid: string, algorithm: Algorithm): PublishedJwk {
  const { kty, ...numbers } = publicKey.export({ format: "jwk" });
  return { kty, kid, ...numbers, alg: algorithm, use: "sig" } as PublishedJwk;
}

/** Opens a stored key for signing. */
export async function openPrivateKey(
  key: Sealed & { appId: string; kid: string },
  vault: KeyVault,
): Promise<KeyObject> {
  const pkcs8 = await vault.open(key.sealedPrivateKey, key);
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  pkcs8.fill(0);
  return privateKey;
}

/** The same private key under the master key that seals now. */
export async function reseal(key: Sealed & { appId: string; kid: string }, vault: KeyVault): Promise<Sealed> {
  const pkcs8 = await vault.open(key.sealedPrivateKey, key);
  const sealed = await vault.seal(pkcs8, key);
  pkcs8.fill(0);
  return sealed;
}

/** Bytes of a signature, before it exists: the size of a token is known before it is signed. */
export function signatureLengthOf(privateKey: KeyObject): number {
  const bits = privateKey.asymmetricKeyDetails?.modulusLength;
  return bits === undefined ? 64 : Math.ceil(bits / 8);
}

/** Whether the key made this signature. */
export function verifiesUnder(
  { algorithm, publicJwk }: { algorithm: Algorithm; publicJwk: PublicJwk | PublishedJwk },
  signingInput: string,
  signature: Uint8Array,
): boolean {
  const publicKey = createPublicKey({ key: { ...publicJwk }, format: "jwk" });
  const key = algorithm === "ES256" ? { key: publicKey, dsaEncoding: "ieee-p1363" as const } : publicKey;
  return verify(algorithm === "Ed25519" ? null : "sha256", Buffer.from(signingInput), key, signature);
}

/** A part of a compact JWS that is an object. */
export function encodePart(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

/** A compact JWS (RFC 7515 section 3.1). */
export async function signJws(
  algorithm: Algorithm,
  privateKey: KeyObject,
  header: object,
  claims: object,
): Promise<string> {
  const signingInput = `${encodePart(header)}.${encodePart(claims)}`;
  const signature = await signBytes(algorithm, privateKey, Buffer.from(signingInput));
  return `${signingInput}.${signature.toString("base64url")}`;
}

/**
 * Signs on the thread pool (RFC 7515 section 5.1). What is wanted within one turn of the event loop is asked for together:
 * a thread that is at work takes the next signature for less than it costs to wake another one.
 */
export function signBytes(algorithm: Algorithm, privateKey: KeyObject, data: Buffer): Promise<Buffer> {
  const digest = algorithm === "Ed25519" ? null : "sha256";
  const key = algorithm === "ES256" ? { key: privateKey, dsaEncoding: "ieee-p1363" as const } : privateKey;
  return new Promise((resolve, reject) => {
    const ask = () => {
      try {
        sign(digest, data, key, (error, signature) => (error ? reject(error) : resolve(signature)));
      } catch (error) {
        reject(error); // a key that is of no use to the algorithm
      }
    };
    if (wanted.push(ask) === 1) setImmediate(askForAll);
  });
}

const wanted: (() => void)[] = [];

function askForAll(): void {
  for (const ask of wanted.splice(0)) ask();
}
