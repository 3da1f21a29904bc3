// Changed signatures, and other encodings of valid ones.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openPrimedRoute } from "../../support/protected-route.ts";
import { base64url, ecKey, forge, goodClaims, headerOf, rsaKey, signatureOf, tokenBy } from "../../support/keys.ts";

const rsa = rsaKey();
const ec = ecKey();

describe("T13 T14 signatures of ES256", () => {
  const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const input = `${base64url(headerOf(ec))}.${base64url(goodClaims())}`;
  const numbers = (r: bigint, s: bigint) => [r, s].map((one) => one.toString(16).padStart(64, "0")).join("");
  const good = signatureOf(ec, input);
  const r = BigInt(`0x${good.subarray(0, 32).toString("hex")}`);
  const s = BigInt(`0x${good.subarray(32).toString("hex")}`);
  const tokenWith = (hex: string) => `${input}.${Buffer.from(hex, "hex").toString("base64url")}`;

  test("T13 the (r, n - s) twin is accepted, as the standard allows", async () => {
    const own = await openPrimedRoute(ec);
    const [original, twin] = [numbers(r, s), numbers(r, ORDER - s)].map(tokenWith) as [string, string];
    // Revocation is by jti, and the twin has the same one.
    expect((await own.expectAllowed(twin)).claims).toEqual((await own.expectAllowed(original)).claims);
  });

  test("T14 zero, the order and beyond, DER and wrong lengths are rejected", async () => {
    const own = await openPrimedRoute(ec);
    const max = (1n << 256n) - 1n;
    for (const [a, b] of [
      [0n, 0n],
      [0n, s],
      [r, 0n],
      [ORDER, s],
      [r, ORDER],
      [ORDER, ORDER],
      [1n, 1n],
      [max, max],
      [0n, 1n],
      [1n, 0n],
      [r, (ORDER + s) % max],
    ] as const) {
      await own.expectRefused(tokenWith(numbers(a, b)), "signature_invalid");
    }
    const integer = (hex: string) => (parseInt(hex.slice(0, 2), 16) > 127 ? `022100${hex}` : `0220${hex}`);
    const body = integer(numbers(r, s).slice(0, 64)) + integer(numbers(r, s).slice(64));
    const der = `30${(body.length / 2).toString(16)}${body}`;
    for (const hex of [
      der,
      numbers(r, s).slice(2),
      `00${numbers(r, s)}`,
      `${numbers(r, s)}00`,
      "00",
      numbers(r, s).repeat(2),
    ]) {
      await own.expectRefused(tokenWith(hex), "signature_invalid");
    }
  });
});

describe("a changed token", () => {
  test("any change of a signed character is rejected", async () => {
    const route = await openPrimedRoute(rsa);
    const token = tokenBy(rsa);
    const signed = token.lastIndexOf(".");
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: token.length - 1 }),
        fc.constantFrom(..."AQgwZz09-_."),
        async (at, character) => {
          fc.pre(token[at] !== character && at !== signed);
          expect((await route.verifier.verify(token.slice(0, at) + character + token.slice(at + 1))).allowed).toBe(
            false,
          );
        },
      ),
      { numRuns: 400 },
    );
  });

  test("a signature by another key is rejected under this key's kid", async () => {
    const route = await openPrimedRoute(rsa);
    await route.expectRefused(forge(rsaKey(), headerOf(rsa), goodClaims()), "signature_invalid");
  });
});
