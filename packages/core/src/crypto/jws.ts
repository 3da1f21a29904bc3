import { createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { setImmediate } from "node:timers"; // the program that embeds a core might replace the global
import type { Algorithm, PublicJwk, PublishedJwk } from "countersign/protocol";

/** Bytes of a signature by this key: the size of a token is known before it is signed. */
export function signatureLengthOf(privateKey: KeyObject): number {
  const bits = privateKey.asymmetricKeyDetails?.modulusLength;
  return bits === undefined ? 64 : Math.ceil(bits / 8);
}

/** Reports whether the key made this signature. */
export function verifiesUnder(
  { algorithm, publicJwk }: { algorithm: Algorithm; publicJwk: PublicJwk | PublishedJwk },
  signingInput: string,
  signature: Uint8Array,
): boolean {
  const publicKey = createPublicKey({ key: { ...publicJwk }, format: "jwk" });
  return verify(hashOf(algorithm), Buffer.from(signingInput), signingKey(algorithm, publicKey), signature);
}

/** Encodes the header or the claims of a compact JWS. */
export function encodePart(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

/** Creates a compact JWS (RFC 7515 section 3.1). */
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
 * Signs on the thread pool (RFC 7515 section 5.1). Signatures requested in one turn of the event loop start together,
 * because giving a busy thread more work costs less than waking another thread.
 */
export function signBytes(algorithm: Algorithm, privateKey: KeyObject, data: Buffer): Promise<Buffer> {
  const key = signingKey(algorithm, privateKey);
  return new Promise((resolve, reject) => {
    const start = () => {
      try {
        sign(hashOf(algorithm), data, key, (error, signature) => (error ? reject(error) : resolve(signature)));
      } catch (error) {
        reject(error); // the key does not fit the algorithm
      }
    };
    if (queue.push(start) === 1) setImmediate(startQueued);
  });
}

const queue: (() => void)[] = [];

function startQueued(): void {
  for (const start of queue.splice(0)) start();
}

/** Ed25519 hashes by itself (RFC 8032 section 5.1). */
function hashOf(algorithm: Algorithm): "sha256" | null {
  return algorithm === "Ed25519" ? null : "sha256";
}

/** JWS has ECDSA signatures as R and S (RFC 7518 section 3.4), and Node's default is DER. */
function signingKey(algorithm: Algorithm, key: KeyObject) {
  return algorithm === "ES256" ? { key, dsaEncoding: "ieee-p1363" as const } : key;
}
