// Public lists of difficult JSON and of difficult strings, in tokens with a valid signature.
import { beforeAll, describe, expect, test } from "vitest";
import { openPrimedRoute, type ProtectedRoute } from "../../support/protected-route.ts";
import { edKey, forge, goodClaims, headerOf, tokenBy } from "../../support/keys.ts";
import { readVectorBytes, readVectors, vectorFiles } from "../../support/vectors.ts";

const key = edKey();
let route: ProtectedRoute;
beforeAll(async () => {
  route = await openPrimedRoute(key);
});

/** The JSON of `object` with one more member, whose value is inserted unchanged. */
const withMember = (object: object, value: Buffer) =>
  Buffer.concat([Buffer.from(`${JSON.stringify(object).slice(0, -1)},"v":`), value, Buffer.from("}")]);

describe("JSONTestSuite", () => {
  const files = vectorFiles("jsontestsuite").map((name) => ({ name, bytes: readVectorBytes(`jsontestsuite/${name}`) }));
  /** As payload, as the value of a claim, as header, as the value of a header parameter. */
  const tokensWith = (bytes: Buffer) => [
    forge(key, headerOf(key), bytes),
    forge(key, headerOf(key), withMember(goodClaims(), bytes)),
    forge(key, bytes, goodClaims()),
    forge(key, withMember(headerOf(key), bytes), goodClaims()),
  ];
  const verdict = async (token: string) => {
    const decision = await route.verifier.verify(token);
    return decision.allowed ? "allowed" : decision.reason;
  };

  test("T20 T21 T22 invalid JSON is rejected, in every place: brackets, bytes, numbers, strings", async () => {
    for (const { name, bytes } of files.filter((file) => file.name.startsWith("n_"))) {
      for (const token of tokensWith(bytes)) {
        expect(["token_malformed", "token_too_large"], name).toContain(await verdict(token));
      }
    }
  });

  test("T11 T22 valid JSON is read as by JSON.parse, inside an object without duplicate keys", async () => {
    for (const { name, bytes } of files.filter((file) => file.name.startsWith("y_"))) {
      const [payload, inPayload, header, inHeader] = tokensWith(bytes) as [string, string, string, string];
      // None of them is a payload or a header with the required members.
      expect(["token_malformed", "claims_malformed"], name).toContain(await verdict(payload));
      expect(["token_malformed", "algorithm_not_allowed"], name).toContain(await verdict(header));
      if (name.includes("duplicated_key")) {
        expect([await verdict(inPayload), await verdict(inHeader)], name).toEqual([
          "token_malformed",
          "token_malformed",
        ]);
        continue;
      }
      const value = JSON.parse(bytes.toString()) as unknown;
      expect((await route.expectAllowed(inPayload)).claims["v"], name).toEqual(value);
      expect((await route.expectAllowed(inHeader)).header["v"], name).toEqual(value);
    }
  });

  test("JSON that parsers disagree about is rejected, or read as by JSON.parse", async () => {
    for (const { name, bytes } of files.filter((file) => file.name.startsWith("i_"))) {
      const decision = await route.verifier.verify(forge(key, headerOf(key), withMember(goodClaims(), bytes)));
      if (decision.allowed) expect(decision.caller.claims["v"], name).toEqual(JSON.parse(bytes.toString()));
      else expect(["token_malformed", "token_too_large"], name).toContain(decision.reason);
    }
  });
});

describe("naughty strings", () => {
  const strings = [
    "",
    "\0",
    "a\0b",
    "\ufeff",
    "\u202e",
    "\u2028",
    "<script>",
    "' OR 1=1 --",
    "${7*7}",
    "😀",
    "田中さん",
  ];
  const naughty = [...strings, ...(readVectors<string[]>("blns/blns.json") ?? [])];

  test("C7 T21 as claims and names of claims are returned unchanged", async () => {
    for (const text of naughty) {
      const { claims, service } = await route.expectAllowed(tokenBy(key, { x: text, [`x-${text}`]: [text] }));
      expect([claims["x"], claims[`x-${text}`], service]).toEqual([text, [text], "orders"]);
    }
  });

  test("C1 T21 as sub name the caller, unless a NUL would cut the name short", async () => {
    for (const text of naughty) {
      if (text.includes("\0")) await route.expectRefused(tokenBy(key, { sub: text }), "claims_malformed");
      else expect((await route.expectAllowed(tokenBy(key, { sub: text }))).service).toBe(text);
    }
  });

  test("as iss, aud, source or typ are not accepted in place of the required value", async () => {
    const named = await openPrimedRoute(key, { issuer: "core", audience: "stock" }, { iss: "core", aud: "stock" });
    const good = { iss: "core", aud: "stock" };
    for (const text of naughty) {
      for (const claims of [{ iss: text }, { aud: text }, { aud: [text] }, { source: text }]) {
        expect((await named.verifier.verify(tokenBy(key, { ...good, ...claims }))).allowed, text).toBe(false);
      }
      await named.expectRefused(tokenBy(key, good, { typ: text }), "typ_not_allowed");
    }
  });
});
