import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeJwt, isKid } from "../../src/protocol/jwt.ts";
import * as LIMITS from "../../src/protocol/limits.ts";
import { base64url } from "../support/keys.ts";

const token = (header: object | string, claims: object | string = {}, signature = "c2ln") =>
  `${base64url(header)}.${base64url(claims)}.${signature}`;
const header = (more: object = {}) => ({ alg: "RS256", kid: "k", ...more });
const reasonOf = (value: unknown) => {
  const result = decodeJwt(value);
  return result.ok ? undefined : result.reason;
};

describe("decodeJwt", () => {
  test("splits a token into its parts", () => {
    const text = token(header({ typ: "JWT", x: 1 }), { sub: "orders", n: [1] });
    expect(decodeJwt(text)).toEqual({
      ok: true,
      jwt: {
        header: { alg: "RS256", kid: "k", typ: "JWT", x: 1 },
        algorithm: "RS256",
        claims: { sub: "orders", n: [1] },
        signingInput: text.slice(0, text.lastIndexOf(".")),
        signature: new Uint8Array([0x73, 0x69, 0x67]),
      },
    });
  });

  test("decoding the next token does not change the previous result", () => {
    const first = decodeJwt(token(header({ x: "first" }), { sub: "first" }, "Zmlyc3Q"));
    const before = structuredClone(first);
    decodeJwt(token(header({ x: "other" }), { sub: "other" }, "b3RoZXI"));
    decodeJwt("!".repeat(LIMITS.tokenLength));
    expect(first).toEqual(before);
  });

  test("V4 a header is immutable, and earlier headers do not affect the result", () => {
    const judge = (n: number) => {
      const [good, twice] = [header({ kid: `k-${n}` }), `{"alg":"RS256","kid":"k-${n}","kid":"k-${n}"}`];
      const result = decodeJwt(token(good, { n }));
      expect(result).toMatchObject({ ok: true, jwt: { header: good, algorithm: "RS256", claims: { n } } });
      expect(result.ok && Object.isFrozen(result.jwt.header)).toBe(true);
      expect(reasonOf(token(twice))).toBe("token_malformed");
      expect(reasonOf(token(header({ kid: `k-${n}`, crit: [] })))).toBe("header_not_allowed");
      expect(reasonOf(token(good).replace(".", "=.")), "another spelling").toBe("token_malformed");
    };
    for (let n = 0; n < 500; n++) {
      judge(n);
      judge(n >> 4);
    }
    const nested = decodeJwt(token(header({ x: { y: [1] } })));
    expect(nested.ok && Object.isFrozen((nested.jwt.header["x"] as { y: number[] }).y)).toBe(true);
  });

  test("T12 a character beyond ASCII is rejected at every position, also in the longest token", () => {
    const short = token(header({ kid: "key" })); // its first two parts leave a valid base64url length
    const longest = short.replace(/[^.]*$/, "").padEnd(LIMITS.tokenLength, "A");
    expect(decodeJwt(short).ok && decodeJwt(longest).ok).toBe(true);
    for (const text of [short, longest]) {
      for (const character of ["\x80", "\u00c1", "\u0141", "\ud800", "😀"]) {
        for (const at of [0, 1, short.indexOf(".") + 1, short.lastIndexOf(".") + 1, text.length - character.length]) {
          const spoilt = text.slice(0, at) + character + text.slice(at + character.length);
          expect(reasonOf(spoilt), `U+${character.codePointAt(0)?.toString(16)} at ${at}`).toBe("token_malformed");
        }
      }
    }
  });

  test("EdDSA is the older name of Ed25519", () => {
    for (const alg of ["EdDSA", "Ed25519"]) {
      expect(decodeJwt(token(header({ alg })))).toMatchObject({ ok: true, jwt: { algorithm: "Ed25519" } });
    }
  });

  test("T19 a token has at most 8192 characters, a header at most 1024 bytes", () => {
    const start = `${base64url(header())}.`;
    const claims = (length: number) => base64url(`{"a":"${"x".repeat(length)}"}`);
    const body = claims(6002);
    const atLimit = `${start}${body}.${"A".repeat(LIMITS.tokenLength - start.length - body.length - 1)}`;
    expect(atLimit).toHaveLength(8192);
    expect(reasonOf(atLimit)).toBeUndefined();
    expect(reasonOf(atLimit + "AAAA")).toBe("token_too_large");

    const padded = (bytes: number) => {
      const empty = JSON.stringify(header({ pad: "" })).length;
      return token(header({ pad: "x".repeat(bytes - empty) }));
    };
    expect(reasonOf(padded(1024))).toBeUndefined();
    expect(reasonOf(padded(1025))).toBe("token_too_large");
  });

  test("a kid is 1 to 256 printable ASCII characters", () => {
    for (const kid of ["a", "x".repeat(256), "d-1", "a+b/c==", " ~"]) expect(isKid(kid), kid).toBe(true);
    for (const kid of ["", "x".repeat(257), "a\n", "\0", "é", "😀", "\x7f"]) {
      expect(isKid(kid), JSON.stringify(kid)).toBe(false);
      expect(reasonOf(token(header({ kid })))).toBe("header_not_allowed");
    }
    for (const kid of [undefined, null, 1, ["k"], {}])
      expect(reasonOf(token(header({ kid })))).toBe("header_not_allowed");
  });

  test("never throws, and accepts only three parts, for any input", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(decodeJwt(value).ok).toBe(false);
      }),
    );
    const part = fc.oneof(
      fc.constantFrom(base64url(header()), base64url({}), "", "AA", "A"),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const result = decodeJwt(parts.join("."));
        expect(result.ok && parts.join(".").split(".").length !== 3).toBe(false);
      }),
    );
  });
});
