// The kid is the one part of a token that is used before the signature is checked, so an attacker can choose it.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openRoute, openPrimedRoute } from "../../support/protected-route.ts";
import { base64url, edKey, headerOf, rsaKey, tokenBy } from "../../support/keys.ts";
import { readVectors } from "../../support/vectors.ts";

const key = edKey();

/** A token with another kid, or other header parameters, than it was signed with: the kid is read first. */
const [, ...signedPart] = tokenBy(key).split(".");
const withKid = (kid: string) => [base64url({ ...headerOf(key), kid }), ...signedPart].join(".");

const tricks = [
  "../../../../etc/passwd",
  "..\\..\\windows\\win.ini",
  "/dev/null",
  "file:///etc/passwd",
  "http://169.254.169.254/latest/meta-data/",
  "//evil.test/keys.json",
  "?kid=x#y",
  "' OR 1=1 --",
  "x' UNION SELECT 'AA",
  "*)(uid=*))(|(uid=*",
  "$(id)",
  "`id`",
  "| id",
  "{{7*7}}",
  "${7*7}",
  "%00",
  "s-ed\0",
  "s-ed\n",
  " s-ed",
  "S-ED",
  "s-ed/../s-ed",
  "__proto__",
  "constructor",
  "toString",
  "ключ",
  "😀",
  "k".repeat(257),
];
const naughty = [...tricks, ...(readVectors<string[]>("blns/blns.json") ?? [])];
const isPrintable = (kid: string) => /^[ -~]{1,256}$/.test(kid);

describe("K1 a kid is only used for a lookup", () => {
  test("K1 no naughty string finds a key, and each causes only one request, to the key set", async () => {
    const route = await openPrimedRoute(key);
    for (const kid of naughty) {
      const isLarge = Buffer.from(JSON.stringify({ ...headerOf(key), kid })).length > 1024;
      const reason = isLarge ? "token_too_large" : isPrintable(kid) ? "key_unknown" : "header_not_allowed";
      expect(await route.verifier.verify(withKid(kid)), kid).toEqual({ allowed: false, reason, status: 401 });
    }
    expect(route.keys.requests.map((request) => request.url)).toEqual(["/keys.json", "/keys.json"]);
    await route.expectAllowed(tokenBy(key));
  });

  test("K1 a key can have any printable kid, and only that kid finds it", async () => {
    const kids = [...new Set(naughty.filter(isPrintable))].slice(0, 60);
    const named = kids.map((kid) => edKey(kid));
    const route = await openRoute(named);
    for (const [i, one] of named.entries()) {
      await route.expectAllowed(tokenBy(one));
      await route.expectRefused(tokenBy(named[(i + 1) % named.length]!, {}, { kid: one.kid }), "signature_invalid");
    }
    expect(route.events[0]).toMatchObject({ type: "keys_refreshed", keys: kids.length, skipped: [] });
  });
});

describe("K3 an unknown kid has no key", () => {
  test("K3 no other key is used for it", async () => {
    const route = await openPrimedRoute(key);
    const kid = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ minLength: 1 }),
      fc.stringMatching(/^[sd]-[a-z]{1,4}$/),
    );
    await fc.assert(
      fc.asyncProperty(kid, async (other) => {
        fc.pre(other !== key.kid);
        expect((await route.verifier.verify(tokenBy(key, {}, { kid: other }))).allowed).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});

describe("K4 a flood of unknown kids", () => {
  test("K4 50,000 of them cause one fetch in 30 s and do not affect callers with a known kid", async () => {
    const known = rsaKey();
    const route = await openRoute([key, known]);
    await route.expectAllowed(tokenBy(known));
    const flood = async (from: number) => {
      for (let i = from; i < from + 25_000; i++) {
        if (i % 1_000 === 0) await route.expectAllowed(tokenBy(known, { i }));
        expect((await route.verifier.verify(withKid(`d-${i}`))).allowed).toBe(false);
      }
    };
    await flood(0);
    route.clock.advance(29);
    await flood(25_000);
    expect(route.keys.fetches()).toBe(2);
    route.clock.advance(1);
    await Promise.all(Array.from({ length: 1_000 }, (_, i) => route.verifier.verify(withKid(`e-${i}`))));
    expect(route.keys.fetches()).toBe(3);
    await route.expectAllowed(tokenBy(known));
  });
});
