import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBase64url, decodeUtf8 } from "../../src/protocol/base64url.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

describe("decodeBase64url", () => {
  test("decodes what Node encodes, for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(decodeBase64url(Buffer.from(bytes).toString("base64url"))).toEqual(bytes);
      }),
    );
  });

  test("T12 no two strings decode to the same bytes: accepts exactly what Node would encode", () => {
    const nearly = fc.string({
      unit: fc.constantFrom(...ALPHABET, "=", "+", "/", " ", "\n", "\0", "é"),
      maxLength: 12,
    });
    fc.assert(
      fc.property(nearly, (text) => {
        const bytes = decodeBase64url(text);
        const canonical = Buffer.from(text, "base64url").toString("base64url") === text;
        expect(bytes !== undefined).toBe(canonical);
        if (bytes !== undefined) expect(Buffer.from(bytes).toString("base64url")).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ["two characters", "AA", "B", [1, 15]],
    ["three characters", "AAA", "B", [1, 3]],
  ] as const)("T12 unused bits of a last group of %s must be zero", (_name, zero, _next, [from, to]) => {
    expect(decodeBase64url(zero)).toEqual(new Uint8Array(zero.length - 1));
    for (let bits = from; bits <= to; bits++) {
      expect(decodeBase64url(zero.slice(0, -1) + ALPHABET[bits]), `bits ${bits}`).toBeUndefined();
    }
  });

  test("T12 every character outside the alphabet is rejected at every position in a group", () => {
    for (let code = 0; code < 0x250; code++) {
      const character = String.fromCharCode(code);
      if (ALPHABET.includes(character)) continue;
      for (let at = 0; at < 4; at++) {
        const text = "AAAA".slice(0, at) + character + "AAAA".slice(at + 1);
        expect(decodeBase64url(text), `U+${code.toString(16)} at ${at}`).toBeUndefined();
        expect(decodeBase64url("AAAA" + text.slice(0, 3)) === undefined || at === 3).toBe(true);
      }
    }
  });

  test("T12 one character inserted, replaced or dropped is accepted only if the string is still canonical", () => {
    const noise = fc.oneof(
      fc.constantFrom(...ALPHABET, "=", "+", "/", " ", "\r\n", "\0"),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(120), fc.nat(1), noise, (bytes, at, dropped, inserted) => {
        const text = Buffer.from(bytes).toString("base64url");
        const place = Math.min(at, text.length);
        const changed = text.slice(0, place) + inserted + text.slice(place + dropped);
        const decoded = decodeBase64url(changed);
        const isCanonical = Buffer.from(changed, "base64url").toString("base64url") === changed;
        expect(decoded === undefined ? undefined : Buffer.from(decoded).toString("base64url")).toBe(
          isCanonical ? changed : undefined,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("an impossible length is rejected", () => {
    expect(decodeBase64url("A")).toBeUndefined();
    expect(decodeBase64url("AAAAA")).toBeUndefined();
    expect(decodeBase64url("")).toEqual(new Uint8Array(0));
  });
});

describe("decodeUtf8", () => {
  // Invalid UTF-8 does not survive a round trip: Buffer decodes it as U+FFFD.
  const oracle = (bytes: Uint8Array): string | undefined => {
    const text = Buffer.from(bytes).toString("utf8");
    return Buffer.from(text, "utf8").equals(bytes) ? text : undefined;
  };

  test("T21 accepts exactly the bytes that survive a round trip", () => {
    const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0xc0, 0xe0, 0xed, 0xf0, 0xf4, 0x80, 0xbf));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 8 }), (list) => {
        const bytes = Uint8Array.from(list);
        expect(decodeUtf8(bytes)).toBe(oracle(bytes));
      }),
      { numRuns: 3000 },
    );
  });

  test("agrees with TextEncoder on random and on long strings", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(decodeUtf8(new TextEncoder().encode(text))).toBe(text);
      }),
    );
    const long = "0123456789".repeat(20_000);
    expect(decodeUtf8(new TextEncoder().encode(long))).toBe(long);
  });

  test.each([
    ["an overlong slash", [0xc0, 0xaf]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["beyond U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
    ["a truncated sequence", [0x61, 0xe2, 0x82]],
    ["a lone continuation byte", [0x80]],
    ["UTF-16 with a mark", [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ])("T21 %s is rejected", (_name, bytes) => {
    expect(decodeUtf8(Uint8Array.from(bytes))).toBeUndefined();
  });

  test("T21 a byte order mark is kept, and the JSON parser rejects it", () => {
    expect(decodeUtf8(Uint8Array.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]))).toBe("\ufeff{}");
  });
});
