import { algorithmNamed, type Algorithm } from "./algorithms.ts";
import { decodeBase64url, decodeUtf8 } from "./base64url.ts";
import * as LIMITS from "./limits.ts";
import { parseStrictJson, type JsonObject } from "./strict-json.ts";

/** The protected header of a token (RFC 7515 section 4.1). Other parameters are kept and have no effect. */
export interface JwtHeader extends JsonObject {
  alg: string;
  kid: string;
  typ?: string;
}

/** A decoded token. Nothing about it is verified yet. */
export interface DecodedJwt {
  /** Deep-frozen: tokens with the same header share it. */
  readonly header: JwtHeader;
  readonly algorithm: Algorithm;
  readonly claims: JsonObject;
  /** The signed text: the first two parts as they were sent (RFC 7515 section 5.2). */
  readonly signingInput: string;
  readonly signature: Uint8Array;
}

export type DecodeResult = { ok: true; jwt: DecodedJwt } | { ok: false; reason: DecodeRefusal };

/** The reasons that decoding can find, without a key. */
type DecodeRefusal =
  "token_malformed" | "token_too_large" | "header_not_allowed" | "algorithm_not_allowed" | "typ_not_allowed";

/** Printable ASCII. */
const KID = new RegExp(`^[ -~]{1,${LIMITS.kidLength}}$`);

/** A kind of signed document. One kind is never accepted as another (RFC 8725 section 3.11). */
export interface JwsKind {
  /** Accepted values of `typ`; undefined accepts its absence. */
  readonly types: readonly unknown[];
  /** In characters. */
  readonly maxLength: number;
}

const ACCESS_TOKEN: JwsKind = { types: [undefined, "JWT", "at+jwt"], maxLength: LIMITS.tokenLength };
export const REVOCATION_FEED: JwsKind = { types: ["revocations+jwt"], maxLength: LIMITS.feedBytes };

/**
 * Decodes a compact JWS, strictly: three parts of canonical base64url, JSON without duplicate names, a supported
 * algorithm, a `kid`, and no header parameter that changes how a token is read. Never throws, for any input.
 */
export function decodeJwt(token: unknown, kind: JwsKind = ACCESS_TOKEN): DecodeResult {
  if (typeof token !== "string") return refuse("token_malformed");
  if (token.length > kind.maxLength) return refuse("token_too_large");
  const first = token.indexOf(".");
  const second = token.indexOf(".", first + 1);
  if (first <= 0 || second === -1 || token.indexOf(".", second + 1) !== -1) return refuse("token_malformed");

  const read = readHeader(token.slice(0, first));
  if (!read.ok) return read;
  const { header, algorithm } = read;
  // Checked here, because headers of every kind share one cache.
  if (!kind.types.includes(header["typ"])) return refuse("typ_not_allowed");
  const claims = decodeObject(decodeBase64url(token.slice(first + 1, second)));
  if (claims === undefined) return refuse("token_malformed");
  const signature = decodeBase64url(token.slice(second + 1));
  if (signature === undefined || signature.length === 0) return refuse("token_malformed");
  return { ok: true, jwt: { header, algorithm, claims, signingInput: token.slice(0, second), signature } };
}

type HeaderResult = { ok: true; header: JwtHeader; algorithm: Algorithm } | { ok: false; reason: DecodeRefusal };

/** Valid headers by their encoded form. All tokens of a key usually have the same one, so a few are enough. */
const HEADERS = new Map<string, HeaderResult>();

function readHeader(encoded: string): HeaderResult {
  const known = HEADERS.get(encoded);
  if (known !== undefined) return known;
  const bytes = decodeBase64url(encoded);
  if (bytes !== undefined && bytes.length > LIMITS.headerBytes) return refuse("token_too_large");
  const header = decodeObject(bytes);
  if (header === undefined) return refuse("token_malformed");
  const algorithm = algorithmNamed(header["alg"]);
  if (algorithm === undefined) return refuse("algorithm_not_allowed");
  // We support no extension, so any `crit` must fail (RFC 7515 section 4.1.11). `b64` changes what is signed (RFC 7797).
  if (Object.hasOwn(header, "crit") || Object.hasOwn(header, "b64")) return refuse("header_not_allowed");
  const kid = header["kid"];
  if (typeof kid !== "string" || !isKid(kid)) return refuse("header_not_allowed");

  const result: HeaderResult = { ok: true, header: header as JwtHeader, algorithm };
  if (HEADERS.size >= LIMITS.jwksKeys) HEADERS.clear(); // anyone can send any number of headers
  HEADERS.set(encoded.split("").join(""), result); // a copy: a slice would keep the whole token in memory
  return result;
}

/** Reports whether a key ID is valid: 1 to 256 printable ASCII characters, used for map lookups only. */
export function isKid(kid: string): boolean {
  return KID.test(kid);
}

function decodeObject(bytes: Uint8Array | undefined): JsonObject | undefined {
  const text = bytes === undefined ? undefined : decodeUtf8(bytes);
  if (text === undefined) return undefined;
  const parsed = parseStrictJson(text, LIMITS.jsonDepth);
  return parsed.ok ? parsed.value : undefined;
}

function refuse(reason: DecodeRefusal): { ok: false; reason: DecodeRefusal } {
  return { ok: false, reason };
}
