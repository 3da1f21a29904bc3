import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import type { Algorithm } from "../../src/protocol/algorithms.ts";

export type Jwk = Record<string, unknown>;

/** A private key, and its JWK in a key set. */
export interface TestKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: Jwk;
}

function keyOf(kid: string, algorithm: Algorithm, pair: { privateKey: KeyObject; publicKey: KeyObject }): TestKey {
  return {
    kid,
    algorithm,
    ...pair,
    jwk: { ...pair.publicKey.export({ format: "jwk" }), kid, alg: algorithm, use: "sig" },
  };
}

export const rsaKey = (kid = "s-rsa", modulusLength = 2048) =>
  keyOf(kid, "RS256", generateKeyPairSync("rsa", { modulusLength }));
export const ecKey = (kid = "s-ec") => keyOf(kid, "ES256", generateKeyPairSync("ec", { namedCurve: "P-256" }));
export const edKey = (kid = "s-ed") => keyOf(kid, "Ed25519", generateKeyPairSync("ed25519"));

export function base64url(value: string | Uint8Array | object): string {
  if (typeof value === "string" || value instanceof Uint8Array) return Buffer.from(value).toString("base64url");
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

export function signatureOf(key: TestKey, input: string): Buffer {
  const data = Buffer.from(input, "latin1");
  if (key.algorithm === "RS256") return sign("sha256", data, key.privateKey);
  if (key.algorithm === "ES256") return sign("sha256", data, { key: key.privateKey, dsaEncoding: "ieee-p1363" });
  return sign(null, data, key.privateKey);
}

/** A token with a valid signature over any header and payload: strings and bytes unchanged, objects as JSON. */
export function forge(
  key: TestKey,
  header: string | Uint8Array | object,
  payload: string | Uint8Array | object,
): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${base64url(signatureOf(key, input))}`;
}

export const headerOf = (key: TestKey) => ({ alg: key.algorithm, typ: "JWT", kid: key.kid });

/** Seconds since the epoch at which every test clock starts. */
export const NOW = 1_800_000_000;

/** Claims that every route with default options accepts. */
export function goodClaims(more: object = {}): Record<string, unknown> {
  return {
    source: "microservice",
    sub: "orders",
    iss: "https://core.test",
    iat: NOW,
    exp: NOW + 3600,
    jti: "id-1",
    ...more,
  };
}

/** A token as the core issues it. */
export function tokenBy(key: TestKey, claims: object = {}, header: object = {}): string {
  return forge(key, { ...headerOf(key), ...header }, goodClaims(claims));
}

/** Valid claims without some of them. */
export function claimsWithout(...names: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(goodClaims()).filter(([name]) => !names.includes(name)));
}
