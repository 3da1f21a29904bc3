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
  const whole = text.length >> 2;
  const rest = text.length & 3;
  if (rest === 1) return undefined;
  const bytes = new Uint8Array(whole * 3 + (rest === 0 ? 0 : rest - 1));
  let read = 0;
  let written = 0;
  for (let i = 0; i < whole; i++) {
    const a = sextetAt(text, read);
    const b = sextetAt(text, read + 1);
    const c = sextetAt(text, read + 2);
    const d = sextetAt(text, read + 3);
    if ((a | b | c | d) & INVALID) return undefined;
    bytes[written] = (a << 2) | (b >> 4);
    bytes[written + 1] = ((b & 15) << 4) | (c >> 2);
    bytes[written + 2] = ((c & 3) << 6) | d;
    read += 4;
    written += 3;
  }
  if (rest === 0) return bytes;
  const a = sextetAt(text, read);
  const b = sextetAt(text, read + 1);
  const c = rest === 3 ? sextetAt(text, read + 2) : 0;
  if ((a | b | c) & INVALID) return undefined;
  if ((rest === 2 ? b & 15 : c & 3) !== 0) return undefined;
  bytes[written] = (a << 2) | (b >> 4);
  if (rest === 3) bytes[written + 1] = ((b & 15) << 4) | (c >> 2);
  return bytes;
}

/** Decodes UTF-8, refusing every malformed sequence and keeping a byte order mark, which JSON then refuses. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  let ascii = true;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i]! > 127) {
      ascii = false;
      break;
    }
  }
  if (ascii) return textOfAscii(bytes);
  let escaped = "";
  for (const byte of bytes) escaped += "%" + (byte < 16 ? "0" : "") + byte.toString(16);
  try {
    // The language demands that this refuses overlong forms, surrogates and truncation (ECMA-262, Decode).
    return decodeURIComponent(escaped);
  } catch {
    return undefined;
  }
}

const CHUNK = 8192; // arguments of one call: well under what engines allow

function textOfAscii(bytes: Uint8Array): string {
  if (bytes.length <= CHUNK) return String.fromCharCode.apply(null, bytes as unknown as number[]);
  let text = "";
  for (let i = 0; i < bytes.length; i += CHUNK) text += textOfAscii(bytes.subarray(i, i + CHUNK));
  return text;
}
