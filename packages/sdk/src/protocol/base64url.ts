const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const INVALID = 64;

const SEXTETS = new Uint8Array(128).fill(INVALID);
for (let i = 0; i < ALPHABET.length; i++) SEXTETS[ALPHABET.charCodeAt(i)] = i;

function sextetAt(text: string, index: number): number {
  const code = text.charCodeAt(index);
  return code < 128 ? SEXTETS[code]! : INVALID;
}

/**
 * Decodes base64url without padding, strictly (RFC 4648 section 3.5, RFC 7515 section 2): only the 64
 * characters, no `=`, no white space, and the unused bits of the last character must be zero, so that
 * two different strings never mean the same bytes.
 *
 * @returns the bytes, or undefined for anything else
 */
export function decodeBase64url(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array((text.length * 3) >> 2);
  return decodeBase64urlInto(bytes, 0, text, 0, text.length) === -1 ? undefined : bytes;
}

/**
 * The same for a part of `text`: `from` to before `to`. Reading it where it stands, and writing several parts behind each
 * other, spares the strings and arrays that cost as much as the decoding.
 *
 * @param at where in `bytes` to begin; there must be room
 * @returns where in `bytes` it ends, or -1 for anything else
 */
export function decodeBase64urlInto(bytes: Uint8Array, at: number, text: string, from: number, to: number): number {
  const rest = (to - from) & 3;
  if (rest === 1) return -1;
  let read = from;
  let written = at;
  while (read < to - rest) {
    const a = sextetAt(text, read);
    const b = sextetAt(text, read + 1);
    const c = sextetAt(text, read + 2);
    const d = sextetAt(text, read + 3);
    if ((a | b | c | d) & INVALID) return -1;
    bytes[written] = (a << 2) | (b >> 4);
    bytes[written + 1] = (b << 4) | (c >> 2);
    bytes[written + 2] = (c << 6) | d;
    read += 4;
    written += 3;
  }
  if (rest === 0) return written;
  const a = sextetAt(text, read);
  const b = sextetAt(text, read + 1);
  const c = rest === 3 ? sextetAt(text, read + 2) : 0;
  if ((a | b | c) & INVALID) return -1;
  if ((rest === 2 ? b & 15 : c & 3) !== 0) return -1;
  bytes[written] = (a << 2) | (b >> 4);
  if (rest === 3) bytes[written + 1] = (b << 4) | (c >> 2);
  return written + rest - 1;
}

/** Part of every runtime, but not of the language: it is pure, and the types of this folder do not know it. */
declare const TextDecoder: new (
  label: "utf-8",
  options: { fatal: true; ignoreBOM: true },
) => { decode(bytes: Uint8Array): string };

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Decodes UTF-8, refusing every malformed sequence and keeping a byte order mark, which JSON then refuses. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}
