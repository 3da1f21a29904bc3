// Pure, but not part of the language, so the types of this folder do not include them.
declare const Buffer: { from(text: string, encoding: "base64url"): Uint8Array };
declare const TextDecoder: new (
  label: "utf-8",
  options: { fatal: true; ignoreBOM: true },
) => { decode(bytes: Uint8Array): string };

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const OUTSIDE_ALPHABET = /[^A-Za-z0-9_-]/;
/** The characters that can end an incomplete group: their last four or two bits, which no byte uses, are zero. */
const LAST_OF_TWO = "AQgw";
const LAST_OF_THREE = "AEIMQUYcgkosw048";

/**
 * Decodes base64url without padding, strictly (RFC 4648 section 3.5, RFC 7515 section 2): only the 64 characters, no `=`,
 * no white space, and the unused bits of the last character must be zero, so no two strings decode to the same bytes.
 * `Buffer` tolerates all of that, so it is checked first.
 *
 * @returns the bytes; undefined if the text is invalid
 */
export function decodeBase64url(text: string): Uint8Array | undefined {
  const rest = text.length % 4;
  if (rest === 1 || OUTSIDE_ALPHABET.test(text)) return undefined;
  if (rest === 2 && !LAST_OF_TWO.includes(text.at(-1)!)) return undefined;
  if (rest === 3 && !LAST_OF_THREE.includes(text.at(-1)!)) return undefined;
  const { buffer, byteOffset, length } = Buffer.from(text, "base64url");
  return new Uint8Array(buffer, byteOffset, length); // a Buffer has other methods, such as a slice that does not copy
}

/** Decodes UTF-8; undefined if it is malformed. Keeps a byte order mark, which the JSON parser then rejects. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}
