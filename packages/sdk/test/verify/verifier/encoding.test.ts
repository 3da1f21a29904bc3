// Tokens that parsers disagree about, each with a valid signature over exactly its bytes.
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { openPrimedRoute, type ProtectedRoute } from "../../support/protected-route.ts";
import {
  base64url,
  ecKey,
  edKey,
  forge,
  goodClaims,
  headerOf,
  NOW,
  rsaKey,
  signatureOf,
  tokenBy,
} from "../../support/keys.ts";

const key = edKey();
let route: ProtectedRoute;
beforeAll(async () => {
  route = await openPrimedRoute(key);
});

const header = JSON.stringify(headerOf(key));
const claims = JSON.stringify(goodClaims());
const addTo = (object: string, members: string) => `${object.slice(0, -1)},${members}}`;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

test("tokens written by JSON.stringify are accepted, so the tokens below fail only for their encoding", async () => {
  await route.expectAllowed(forge(key, header, claims));
  await route.expectAllowed(forge(key, addTo(header, '"x":1'), addTo(claims, '"x":{"y":[1]}')));
});

describe("T10 only the compact serialization", () => {
  const [h, p, s] = tokenBy(key).split(".") as [string, string, string];
  test.each([
    [JSON.stringify({ payload: p, signatures: [{ protected: h, signature: s }] })],
    [JSON.stringify({ payload: p, protected: h, signature: s })],
    [JSON.stringify({ payload: p, signatures: [] })],
    [`{"payload":"${p}","protected":"${h}","signature":"${s}","x":"..a"}`],
    [`${h}.${p}.{}`],
    [`{}.${p}.${s}`],
    [`${h}.${p}.${s}{}`],
    [`[${h}.${p}.${s}]`],
    [`"${h}.${p}.${s}"`],
  ])("T10 %s is rejected", async (token) => route.expectRefused(token, "token_malformed"));

  test("T10 a brace anywhere is rejected", async () => {
    const token = `${h}.${p}.${s}`;
    for (const brace of ["{", "}", "[", '"', "{}", '{"a":1}']) {
      for (let at = 0; at <= token.length; at++) {
        const changed = token.slice(0, at) + brace + token.slice(at);
        expect(await route.verifier.verify(changed), changed).toMatchObject({ reason: "token_malformed" });
      }
    }
  });

  test("T10 a value that is not a string is rejected", async () => {
    const parts = { payload: p, protected: h, signature: s };
    for (const value of [
      parts,
      [h, p, s],
      [`${h}.${p}.${s}`],
      Buffer.from(`${h}.${p}.${s}`),
      new String(`${h}.${p}.${s}`),
      null,
      undefined,
      0,
      Symbol("x"),
      () => `${h}.${p}.${s}`,
    ]) {
      await route.expectRefused(value, "token_malformed");
    }
  });
});

describe("T11 duplicate members", () => {
  test.each([
    ["sub", '"sub":"admin"'],
    ["sub, escaped", '"s\\u0075b":"admin"'],
    ["exp", `"exp":${NOW + 9e6}`],
    ["source, the same value", '"source":"microservice"'],
    ["a member of an inner object", '"x":{"y":1,"y":1}'],
  ])("T11 duplicate members are rejected in the payload: %s", async (_name, members) => {
    await route.expectRefused(forge(key, header, addTo(claims, members)), "token_malformed");
  });

  test.each([
    ["alg", '"alg":"Ed25519"'],
    ["alg, escaped", '"\\u0061lg":"none"'],
    ["kid", `"kid":"${key.kid}"`],
    ["a member of an inner object", '"x":[{"y":1,"y":1}]'],
  ])("T11 duplicate members are rejected in the header: %s", async (_name, members) => {
    await route.expectRefused(forge(key, addTo(header, members), claims), "token_malformed");
  });
});

describe("T12 one spelling per token", () => {
  const signers = [
    ["RS256", rsaKey()],
    ["ES256", ecKey()],
    ["Ed25519", key],
  ] as const;

  test.each(signers)("T12 every unused bit of every part must be zero: %s", async (_name, signer) => {
    const own = await openPrimedRoute(signer);
    let flips = 0;
    for (const pad of ["", "x", "xx"]) {
      const parts = tokenBy(signer, { pad }).split(".");
      await own.expectAllowed(parts.join("."));
      for (const [i, part] of parts.entries()) {
        const unused = [0, 0, 15, 3][part.length % 4]!;
        const last = ALPHABET.indexOf(part.at(-1)!);
        for (let bits = 1; bits <= unused; bits++) {
          const changed = part.slice(0, -1) + ALPHABET[last | bits]!;
          await own.expectRefused(parts.with(i, changed).join("."), "token_malformed");
          flips++;
        }
      }
    }
    expect(flips).toBeGreaterThan(3);
  });

  test("T12 each of 256 bytes, inserted anywhere, makes the token invalid", async () => {
    const token = tokenBy(key);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: token.length }), async (at) => {
        for (let byte = 0; byte < 256; byte++) {
          const changed = token.slice(0, at) + String.fromCharCode(byte) + token.slice(at);
          expect((await route.verifier.verify(changed)).allowed, `byte ${byte} at ${at}`).toBe(false);
        }
      }),
      { numRuns: 40 },
    );
  });

  test.each([["="], ["=="], ["\n"], [" "], ["\t"], ["\0"], ["é"], ["ａ"], ["😀"], ["%3D"]])(
    "T12 %j around or between the parts is rejected",
    async (text) => {
      const [h, p, s] = tokenBy(key).split(".") as [string, string, string];
      for (const token of [
        `${text}${h}.${p}.${s}`,
        `${h}${text}.${p}.${s}`,
        `${h}.${text}${p}.${s}`,
        `${h}.${p}${text}.${s}`,
        `${h}.${p}.${s}${text}`,
      ]) {
        await route.expectRefused(token, "token_malformed");
      }
    },
  );

  test("T12 + and / of the other alphabet are rejected", async () => {
    for (let i = 0; i < 200; i++) {
      const token = tokenBy(key, { n: i });
      const other = token.replaceAll("-", "+").replaceAll("_", "/");
      if (other !== token) await route.expectRefused(other, "token_malformed");
    }
  });
});

describe("T18 T19 shapes and sizes", () => {
  test("T18 five parts, as of an encrypted token, are rejected", async () => {
    const jwe = base64url({ alg: "RSA-OAEP", enc: "A256GCM", zip: "DEF" });
    await route.expectRefused(`${jwe}.AAAA.AAAA.AAAA.AAAA`, "token_malformed");
    await route.expectRefused(
      `${base64url({ alg: "PBES2-HS256+A128KW", p2c: 2 ** 31 - 1 })}.AAAA.AAAA.AAAA.AAAA`,
      "token_malformed",
    );
    await route.expectRefused(`${tokenBy(key)}.${tokenBy(key).split(".")[2]!}`, "token_malformed");
  });

  test("T18 a token inside a token is rejected", async () => {
    await route.expectRefused(forge(key, { ...headerOf(key), cty: "JWT" }, tokenBy(key)), "token_malformed");
  });

  test.each([[0], [1], [3], [4], [100]])("T19 %i dots are rejected", async (dots) => {
    await route.expectRefused(".".repeat(dots), "token_malformed");
    await route.expectRefused("AAAA.".repeat(dots) + "AAAA", "token_malformed");
  });

  test("T19 size is checked before anything else: a megabyte of dots costs less than a millisecond", async () => {
    const huge = ".".repeat(1_000_000);
    const rounds = 200;
    const start = process.cpuUsage();
    for (let i = 0; i < rounds; i++) await route.verifier.verify(huge);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / rounds / 1000).toBeLessThan(1);
    await route.expectRefused(huge, "token_too_large");
    await route.expectRefused(tokenBy(key, { pad: "x".repeat(7000) }), "token_too_large");
    await route.expectRefused(tokenBy(key, {}, { pad: "x".repeat(1100) }), "token_too_large");
    await route.expectAllowed(tokenBy(key, { pad: "x".repeat(5000) }));
  });
});

describe("T20 nesting", () => {
  const nest = (levels: number, open = '{"a":', inner = "1", close = "}") =>
    open.repeat(levels) + inner + close.repeat(levels);

  test("T20 the header and the payload are at most 16 deep", async () => {
    await route.expectAllowed(forge(key, header, addTo(claims, `"x":${nest(15)}`)));
    await route.expectAllowed(forge(key, addTo(header, `"x":${nest(15, "[", "", "]")}`), claims));
    await route.expectRefused(forge(key, header, addTo(claims, `"x":${nest(16)}`)), "token_malformed");
    await route.expectRefused(forge(key, header, addTo(claims, `"x":${nest(2500, "[", "", "]")}`)), "token_malformed");
    await route.expectRefused(forge(key, addTo(header, `"x":${nest(16, "[", "", "]")}`), claims), "token_malformed");
    await route.expectRefused(forge(key, header, "[".repeat(5000)), "token_malformed");
  });
});

describe("T21 strings that are not Unicode", () => {
  const bytes = (text: string) => Buffer.from(text, "latin1");
  const withSub = (sub: string) => Buffer.concat([bytes(`${claims.slice(0, -1)},"x":"`), bytes(sub), bytes('"}')]);

  test.each([
    ["a lone continuation byte", withSub("\x80")],
    ["an overlong slash", withSub("\xc0\xaf")],
    ["a UTF-8 surrogate", withSub("\xed\xa0\x80")],
    ["a truncated sequence", withSub("\xe2\x82")],
    ["a byte order mark", bytes(`\xef\xbb\xbf${claims}`)],
    ["UTF-16LE", Buffer.from(claims, "utf16le")],
    ["UTF-16LE with a mark", Buffer.from(`\ufeff${claims}`, "utf16le")],
    ["an escaped lone surrogate", withSub("\\ud800")],
    ["NUL after the object", bytes(`${claims}\0`)],
    ["a raw NUL in a string", withSub("\0")],
  ])("T21 a payload with %s is rejected", async (_name, payload) =>
    route.expectRefused(forge(key, header, payload), "token_malformed"),
  );

  test("T21 a header with a byte order mark or bad UTF-8 is rejected", async () => {
    await route.expectRefused(forge(key, bytes(`\xef\xbb\xbf${header}`), claims), "token_malformed");
    await route.expectRefused(forge(key, bytes(addTo(header, '"x":"\xff"')), claims), "token_malformed");
  });

  test("T21 NUL in sub is rejected", async () => {
    await route.expectRefused(tokenBy(key, { sub: "orders\0.evil" }), "claims_malformed");
  });

  test("valid Unicode is accepted", async () => {
    expect((await route.expectAllowed(tokenBy(key, { sub: "Bestellungen-äöü-😀" }))).service).toBe(
      "Bestellungen-äöü-😀",
    );
  });
});

describe("T22 the payload is a JSON object", () => {
  test.each([["[]"], ['[{"sub":"a"}]'], ["null"], ["true"], ["1"], ['"text"'], [""], ["sub=a"], [" "]])(
    "T22 %j is rejected",
    async (payload) => route.expectRefused(forge(key, header, payload), "token_malformed"),
  );

  test.each([["[]"], ["null"], ['"Ed25519"'], ["1"], [""]])("T22 the header %j is rejected", async (text) => {
    const input = `${base64url(text)}.${base64url(claims)}`;
    await route.expectRefused(`${input}.${base64url(signatureOf(key, input))}`, "token_malformed");
  });
});
