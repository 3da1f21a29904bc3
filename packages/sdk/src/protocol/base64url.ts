// Parts of every runtime, but not of the language: they are pure, and the types of this folder do not know them.
declare const TextEncoder: new () => {
  encodeInto(text: string, bytes: Uint8Array): { read: number; written: number };
};
declare const TextDecoder: new (
  label: "utf-8",
  options: { fatal: true; ignoreBOM: true },
) => { decode(bytes: Uint8Array): string };

const ENCODER = new TextEncoder();
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const INVALID = 64;
/** The alphabet, as ranges of characters (RFC 4648 table 2). */
const RANGES = ["AZ", "az", "09", "--", "__"];

/** By byte: whatever is not of the alphabet, such as every byte of a character beyond ASCII, is invalid. */
const SEXTETS = new Uint8Array(256).fill(INVALID);
let sextet = 0;
for (const range of RANGES) {
  for (let code = range.charCodeAt(0); code <= range.charCodeAt(1); code++) SEXTETS[code] = sextet++;
}

/**
 * Decodes base64url without padding, strictly (RFC 4648 section 3.5, RFC 7515 section 2): only the 64
 * characters, no `=`, no white space, and the unused bits of the last character must be zero, so that
 * two different strings never mean the same bytes.
 *
 * @returns the bytes, or undefined for anything else
 */
export function decodeBase64url(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  const end = writeAscii(text, bytes) ? decodeBase64urlInPlace(bytes, 0, text.length) : -1;
  return end === -1 ? undefined : bytes.slice(0, end);
}

/** Writes `text` into `bytes`, a byte for each character; false where it has others than ASCII, or more than there is room for. */
export function writeAscii(text: string, bytes: Uint8Array): boolean {
  const { read, written } = ENCODER.encodeInto(text, bytes);
  return read === text.length && written === text.length;
}

/**
 * The same for base64url that stands in `bytes` from `from` to before `to`: what it means is written over it. Bytes are
 * read nearly twice as fast as the characters of a string, and in place they cost no memory.
 *
 * @returns where the decoded bytes, which begin at `from`, end; -1 for anything else
 */
export function decodeBase64urlInPlace(bytes: Uint8Array, from: number, to: number): number {
  const rest = (to - from) & 3;
  if (rest === 1) return -1;
  let read = from;
  let written = from;
  while (read < to - rest) {
    const a = SEXTETS[bytes[read]!]!;
    const b = SEXTETS[bytes[read + 1]!]!;
    const c = SEXTETS[bytes[read + 2]!]!;
    const d = SEXTETS[bytes[read + 3]!]!;
    if ((a | b | c | d) & INVALID) return -1;
    bytes[written] = (a << 2) | (b >> 4);
    bytes[written + 1] = (b << 4) | (c >> 2);
    bytes[written + 2] = (c << 6) | d;
    read += 4;
    written += 3;
  }
  if (rest === 0) return written;
  const a = SEXTETS[bytes[read]!]!;
  const b = SEXTETS[bytes[read + 1]!]!;
  const c = rest === 3 ? SEXTETS[bytes[read + 2]!]! : 0;
  if ((a | b | c) & INVALID) return -1;
  if ((rest === 2 ? b & 15 : c & 3) !== 0) return -1;
  bytes[written] = (a << 2) | (b >> 4);
  if (rest === 3) bytes[written + 1] = (b << 4) | (c >> 2);
  return written + rest - 1;
}

/** Decodes UTF-8, refusing every malformed sequence and keeping a byte order mark, which JSON then refuses. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}
