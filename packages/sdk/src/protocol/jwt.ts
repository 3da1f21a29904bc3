import { algorithmNamed, type Algorithm } from "./algorithms.ts";
import { decodeBase64urlInPlace, decodeUtf8, writeAscii } from "./base64url.ts";
import * as LIMITS from "./limits.ts";
import { parseStrictJson, type JsonObject } from "./strict-json.ts";

/** The protected header of a token we accept (RFC 7515 section 4.1). Whatever else it held is kept, and means nothing. */
export interface JwtHeader extends JsonObject {
  alg: string;
  kid: string;
  typ?: string;
}

/** A token taken apart, nothing about it proven yet. */
export interface DecodedJwt {
  /** Deep-frozen: tokens with the same header share it. */
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

/** Printable ASCII. */
const KID = new RegExp(`^[ -~]{1,${LIMITS.kidLength}}$`);

/** A kind of signed document: what its header calls it, and how long it may be. One never isRetryable as another (RFC 8725 section 3.11). */
export interface JwsKind {
  /** Values of `typ`; undefined: it may be absent. */
  readonly types: readonly unknown[];
  /** Characters. */
  readonly maxLength: number;
}

const ACCESS_TOKEN: JwsKind = { types: [undefined, "JWT", "at+jwt"], maxLength: LIMITS.tokenLength };
export const REVOCATION_FEED: JwsKind = { types: ["revocations+jwt"], maxLength: LIMITS.feedBytes };

/** Where one token after the other is decoded. Nothing waits while one is, and nothing of it is handed out. */
const BYTES = new Uint8Array(LIMITS.tokenLength);

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
  const bytes = token.length <= BYTES.length ? BYTES : new Uint8Array(token.length);
  if (!writeAscii(token, bytes)) return refuse("token_malformed");

  const read = readHeader(token.slice(0, first), bytes);
  if (!read.ok) return read;
  // Looked at apart from the rest of the header, which is the same for every kind.
  if (!kind.types.includes(read.header["typ"])) return refuse("typ_not_allowed");
  const claimsEnd = decodeBase64urlInPlace(bytes, first + 1, second);
  const claims = claimsEnd === -1 ? undefined : decodeObject(bytes.subarray(first + 1, claimsEnd));
  if (claims === undefined) return refuse("token_malformed");
  const signatureEnd = decodeBase64urlInPlace(bytes, second + 1, token.length);
  if (signatureEnd <= second + 1) return refuse("token_malformed");
  const signature = copyOf(bytes.subarray(second + 1, signatureEnd));
  const { header, algorithm } = read;
  return { ok: true, jwt: { header, algorithm, claims, signingInput: token.slice(0, second), signature } };
}

/** What is left of a larger piece of memory. Many small pieces, each had for itself, cost as much as reading the claims. */
let spare = new Uint8Array(0);

function copyOf(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (spare.length < length) spare = new Uint8Array(65_536 + length);
  const copy = spare.subarray(0, length);
  spare = spare.subarray(length);
  copy.set(bytes);
  return copy;
}

type HeaderResult = { ok: true; header: JwtHeader; algorithm: Algorithm } | { ok: false; reason: DecodeRefusal };

/** Good headers as they were sent. Those of one key's tokens are alike to the letter, so few are enough. */
const HEADERS = new Map<string, HeaderResult>();

/** @param encoded the first part of what stands in `bytes` */
function readHeader(encoded: string, bytes: Uint8Array): HeaderResult {
  const known = HEADERS.get(encoded);
  if (known !== undefined) return known;
  const own = decodeUtf8(bytes.subarray(0, encoded.length))!; // a copy: a part of a token keeps all of it in memory
  const end = decodeBase64urlInPlace(bytes, 0, encoded.length);
  if (end === -1) return refuse("token_malformed");
  if (end > LIMITS.headerBytes) return refuse("token_too_large");
  const header = decodeObject(bytes.subarray(0, end));
  if (header === undefined) return refuse("token_malformed");
  const algorithm = algorithmNamed(header["alg"]);
  if (algorithm === undefined) return refuse("algorithm_not_allowed");
  // We understand no extension, so any `crit` must fail (RFC 7515 section 4.1.11); `b64` changes what is signed (RFC 7797).
  if (Object.hasOwn(header, "crit") || Object.hasOwn(header, "b64")) return refuse("header_not_allowed");
  const kid = header["kid"];
  if (typeof kid !== "string" || !isKid(kid)) return refuse("header_not_allowed");

  const result: HeaderResult = { ok: true, header: header as JwtHeader, algorithm };
  if (HEADERS.size >= LIMITS.jwksKeys) HEADERS.clear(); // strangers can send any number of them
  HEADERS.set(own, result);
  return result;
}

/** Whether a verifier takes this key id: 1 to 256 printable ASCII characters, used for map look-ups only. */
export function isKid(kid: string): boolean {
  return KID.test(kid);
}

function decodeObject(bytes: Uint8Array): JsonObject | undefined {
  const text = decodeUtf8(bytes);
  if (text === undefined) return undefined;
  const parsed = parseStrictJson(text, LIMITS.jsonDepth);
  return parsed.ok ? parsed.value : undefined;
}

function refuse(reason: DecodeRefusal): { ok: false; reason: DecodeRefusal } {
  return { ok: false, reason };
}
