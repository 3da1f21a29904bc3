import { algorithmNamed } from "../../src/protocol/algorithms.ts";
import { decodeBase64url, decodeUtf8 } from "../../src/protocol/base64url.ts";
import { parseKeySet } from "../../src/protocol/jwk.ts";
import { parseStrictJson, type JsonObject } from "../../src/protocol/strict-json.ts";
import { importKey, verifySignature, type ImportedKey } from "../../src/crypto/signature.ts";
import type { Jwk } from "./keys.ts";

// Public vectors do not sign claims, so these tests read a token only up to its claims.

const PRIVATE = ["d", "p", "q", "dp", "dq", "qi"];
export const publicPart = (jwk: Jwk) =>
  Object.fromEntries(Object.entries(jwk).filter(([name]) => !PRIVATE.includes(name)));

/** The valid keys of a key set, as a verifier uses them. */
export function importSet(keys: Jwk[]): Map<string, ImportedKey> {
  const document = parseKeySet(JSON.stringify({ keys }));
  const imported = new Map<string, ImportedKey>();
  for (const key of document.ok ? document.keys : []) {
    try {
      imported.set(key.kid, importKey(key));
    } catch {
      // not a valid key
    }
  }
  return imported;
}

/** @param defaultKid of the key for a token without a kid */
export function signatureHolds(jws: unknown, keys: ReadonlyMap<string, ImportedKey>, defaultKid?: string): boolean {
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
