import { algorithmNamed, type Algorithm } from "./algorithms.ts";
import { decodeBase64urlInto, decodeUtf8 } from "./base64url.ts";
import { LIMITS } from "./limits.ts";
import { parseStrictJson, type JsonObject } from "./strict-json.ts";

/** The protected header of a token we accept (RFC 7515 section 4.1). Whatever else it held is kept, and means nothing. */
export interface JwtHeader extends JsonObject {
  alg: string;
  kid: string;
  typ?: string;
}

/** A token taken apart, nothing about it proven yet. */
export interface DecodedJwt {
  readonly header: JwtHeader;
  readonly algorithm: Algorithm;
  readonly claims: JsonObject;
  /** What was signed: the first two parts as they were sent (RFC 7515 section 5.2). */
  readonly signingInput: string;
  readonly signature: Uint8Array;
}

export type DecodeResult = { ok: true; jwt: DecodedJwt } | { ok: false; reason: DecodeRefusal };

/** The reasons of decision.ts that need no key to be found. */
type DecodeRefusal =
  "token_malformed" | "token_too_large" | "header_not_allowed" | "algorithm_not_allowed" | "typ_not_allowed";

const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

/** A kind of signed document: what its header calls it, and how long it may be. One never passes as another (RFC 8725 section 3.11). */
export interface JwsKind {
  /** Values of `typ`; undefined: it may be absent. */
  readonly types: ReadonlySet<unknown>;
  /** Characters. */
  readonly maxLength: number;
}

const ACCESS_TOKEN: JwsKind = { types: new Set([undefined, "JWT", "at+jwt"]), maxLength: LIMITS.tokenLength };
export const REVOCATION_FEED: JwsKind = { types: new Set(["revocations+jwt"]), maxLength: LIMITS.feedBytes };

/**
 * Takes a compact JWS apart, strictly: three parts of canonical base64url, JSON without duplicate
 * names, one of our algorithms, a `kid`, and no header parameter that changes how a token is read.
 * Never throws, whatever is passed in.
 */
export function decodeJwt(token: unknown, kind: JwsKind = ACCESS_TOKEN): DecodeResult {
  if (typeof token !== "string") return refuse("token_malformed");
  if (token.length > kind.maxLength) return refuse("token_too_large");
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  if (first <= 0 || second === -1 || token.indexOf(".", second + 1) !== -1) return refuse("token_malformed");

  const bytes = new Uint8Array((token.length * 3) >> 2); // of all three parts, one behind the other
  const headerEnd = decodeBase64urlInto(bytes, 0, token, 0, first);
  if (headerEnd === -1) return refuse("token_malformed");
  if (headerEnd > LIMITS.headerBytes) return refuse("token_too_large");
  const header = decodeObject(bytes.subarray(0, headerEnd));
  if (header === undefined) return refuse("token_malformed");
  const algorithm = algorithmNamed(header["alg"]);
  if (algorithm === undefined) return refuse("algorithm_not_allowed");
  // We understand no extension, so any `crit` must fail (RFC 7515 section 4.1.11); `b64` changes what is signed (RFC 7797).
  if (Object.hasOwn(header, "crit") || Object.hasOwn(header, "b64")) return refuse("header_not_allowed");
  if (!kind.types.has(header["typ"])) return refuse("typ_not_allowed");
  const kid = header["kid"];
  if (typeof kid !== "string" || !isKid(kid)) return refuse("header_not_allowed");

  const claimsEnd = decodeBase64urlInto(bytes, headerEnd, token, first + 1, second);
  if (claimsEnd === -1) return refuse("token_malformed");
  const claims = decodeObject(bytes.subarray(headerEnd, claimsEnd));
  if (claims === undefined) return refuse("token_malformed");
  const signatureEnd = decodeBase64urlInto(bytes, claimsEnd, token, second + 1, token.length);
  if (signatureEnd <= claimsEnd) return refuse("token_malformed");
  const signature = bytes.subarray(claimsEnd, signatureEnd);
  return {
    ok: true,
    jwt: { header: header as JwtHeader, algorithm, claims, signingInput: token.slice(0, second), signature },
  };
}

/** Whether a verifier takes this key id: 1 to 256 printable ASCII characters, used for map look-ups only. */
export function isKid(kid: string): boolean {
  return kid.length <= LIMITS.kidLength && PRINTABLE_ASCII.test(kid);
}

function decodeObject(bytes: Uint8Array): JsonObject | undefined {
  const text = decodeUtf8(bytes);
  if (text === undefined) return undefined;
  const parsed = parseStrictJson(text, LIMITS.jsonDepth);
  return parsed.ok ? parsed.value : undefined;
}

function refuse(reason: DecodeRefusal): DecodeResult {
  return { ok: false, reason };
}
