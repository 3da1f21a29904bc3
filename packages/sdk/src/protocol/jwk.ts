import { algorithmNamed, type Algorithm } from "./algorithms.ts";
import { decodeBase64url } from "./base64url.ts";
import { isKid } from "./jwt.ts";
import * as LIMITS from "./limits.ts";
import { isPlainObject, parseStrictJson, type JsonObject } from "./strict-json.ts";
import { isRocaModulus, isWeakEd25519 } from "./weak-key.ts";

/** The public key members of a JWK, without its other members (RFC 7517). */
export type PublicJwk =
  | { kty: "RSA"; n: string; e: string }
  | { kty: "EC"; crv: "P-256"; x: string; y: string }
  | { kty: "OKP"; crv: "Ed25519"; x: string };

/** A key for verification. The key decides the algorithm, and the header of a token must match it. */
export interface VerificationKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly jwk: PublicJwk;
}

/** An ignored member of a key set, and the reason. */
export interface SkippedJwk {
  /** Undefined if the member has no valid kid. */
  readonly kid: string | undefined;
  readonly problem: string;
}

export type KeySetDocument =
  { ok: true; keys: readonly VerificationKey[]; skipped: SkippedJwk[] } | { ok: false; problem: string };

const MAX_KEY_SET_DEPTH = 8;

/**
 * Reads a key set document (RFC 7517 section 5). Skips and reports invalid members. Rejects a document that is not a JWK
 * Set.
 */
export function parseKeySet(text: string): KeySetDocument {
  const parsed = parseStrictJson(text, MAX_KEY_SET_DEPTH);
  if (!parsed.ok) return { ok: false, problem: `not a JSON object (${parsed.problem})` };
  const members = parsed.value["keys"];
  if (!Array.isArray(members)) return { ok: false, problem: "no array 'keys'" };
  if (members.length > LIMITS.jwksKeys) return { ok: false, problem: `more than ${LIMITS.jwksKeys} keys` };

  const keys = new Map<string, VerificationKey>();
  const ambiguous = new Set<string>();
  const skipped: SkippedJwk[] = [];
  for (const member of members as unknown[]) {
    const read = readJwk(member);
    if (!read.ok) {
      skipped.push({ kid: read.kid, problem: read.problem });
      continue;
    }
    const { key } = read;
    const known = keys.get(key.kid);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(key)) ambiguous.add(key.kid);
    keys.set(key.kid, key);
  }
  // A kid of two different keys is ambiguous, so neither key is used.
  for (const kid of ambiguous) {
    keys.delete(kid);
    skipped.push({ kid, problem: "duplicate kid" });
  }
  return { ok: true, keys: [...keys.values()], skipped };
}

type ReadJwk = { ok: true; key: VerificationKey } | { ok: false; kid: string | undefined; problem: string };

/** Reads one public JWK: it must have a kid, a supported and strong key, no private members, and be meant for signatures. */
export function readJwk(jwk: unknown): ReadJwk {
  if (!isPlainObject(jwk)) return bad(undefined, "not an object");
  const kid = jwk["kid"];
  if (typeof kid !== "string" || !isKid(kid)) return bad(undefined, "missing or invalid kid");
  if (["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].some((name) => Object.hasOwn(jwk, name))) {
    return bad(kid, "contains private or symmetric key members");
  }
  if (jwk["use"] !== undefined && jwk["use"] !== "sig") return bad(kid, "use is not 'sig'");
  const operations = jwk["key_ops"];
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify"))) {
    return bad(kid, "key_ops lacks 'verify'");
  }
  const material = readMaterial(jwk);
  if (typeof material === "string") return bad(kid, material);
  const { alg = material.algorithm } = jwk;
  if (algorithmNamed(alg) !== material.algorithm) return bad(kid, "alg does not match the key");
  return { ok: true, key: Object.freeze({ kid, algorithm: material.algorithm, jwk: Object.freeze(material.jwk) }) };
}

function bad(kid: string | undefined, problem: string): ReadJwk {
  return { ok: false, kid, problem };
}

function readMaterial(jwk: JsonObject): { algorithm: Algorithm; jwk: PublicJwk } | string {
  switch (jwk["kty"]) {
    case "RSA":
      return readRsa(jwk["n"], jwk["e"]);
    case "EC":
      return readP256(jwk["crv"], jwk["x"], jwk["y"]);
    case "OKP":
      return readEd25519(jwk["crv"], jwk["x"]);
    default:
      return "kty is not RSA, EC or OKP";
  }
}

const RSA_MIN_BITS = 2048; // RFC 7518 section 3.3
const RSA_MAX_BITS = 8192; // a verification with a longer key takes milliseconds

function readRsa(n: unknown, e: unknown): { algorithm: "RS256"; jwk: PublicJwk } | string {
  const modulus = typeof n === "string" ? decodeBase64url(n) : undefined;
  const first = modulus?.[0] ?? 0;
  if (modulus === undefined || first === 0) return "n is not canonical";
  const bits = modulus.length * 8 - Math.clz32(first) + 24;
  if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
    return `the RSA modulus does not have ${RSA_MIN_BITS} to ${RSA_MAX_BITS} bits`;
  // Other exponents have no use, and some allow forgeries: with e = 1, every message is its own signature.
  if (e !== "AQAB") return "e is not 65537";
  if (isRocaModulus(modulus)) return "n is weak (CVE-2017-15361)";
  return { algorithm: "RS256", jwk: { kty: "RSA", n: n as string, e } };
}

function readP256(crv: unknown, x: unknown, y: unknown): { algorithm: "ES256"; jwk: PublicJwk } | string {
  if (crv !== "P-256") return "crv is not P-256";
  if (!isBytes(x, 32) || !isBytes(y, 32)) return "x or y is not 32 bytes";
  return { algorithm: "ES256", jwk: { kty: "EC", crv, x, y } };
}

function readEd25519(crv: unknown, x: unknown): { algorithm: "Ed25519"; jwk: PublicJwk } | string {
  if (crv !== "Ed25519") return "crv is not Ed25519";
  if (!isBytes(x, 32)) return "x is not 32 bytes";
  if (isWeakEd25519(decodeBase64url(x)!)) return "x is a weak point";
  return { algorithm: "Ed25519", jwk: { kty: "OKP", crv, x } };
}

function isBytes(value: unknown, length: number): value is string {
  return typeof value === "string" && decodeBase64url(value)?.length === length;
}
