import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readBearerToken } from "../../src/protocol/bearer.ts";

const malformed = { ok: false, reason: "authorization_malformed" };
const missing = { ok: false, reason: "token_missing" };

describe("readBearerToken", () => {
  test.each([["Bearer a.b.c"], ["bearer a.b.c"], ["BEARER a.b.c"], ["bEaReR a.b.c"]])(
    "H2 the scheme is read in any case: %s",
    (field) => expect(readBearerToken([field])).toEqual({ ok: true, token: "a.b.c" }),
  );

  test("every token68 is a token", () => {
    const token68 = fc.stringMatching(/^[A-Za-z0-9\-._~+/]+={0,2}$/);
    fc.assert(
      fc.property(token68, (token) => {
        expect(readBearerToken([`Bearer ${token}`])).toEqual({ ok: true, token });
      }),
    );
  });

  test.each([
    ["Bearer A, Bearer B"],
    ["Bearer A,B"],
    ["Bearer\tA"],
    ["Bearer  A"],
    ["Bearer A "],
    ["Bearer A\t"],
    ["Bearer A B"],
    ["Bearer"],
    ["Bearer "],
    ["Bearer,A"],
    ["Bearer=A"],
    ['Bearer "A"'],
    ["Bearer A=B"],
    ["Bearer é"],
    ["Bearer A\n"],
    ["Bearer A\0"],
    ["Bearer: A"],
  ])("H2 %j is malformed", (field) => expect(readBearerToken([field])).toEqual(malformed));

  test.each([["Basic dTpw"], ["DPoP a.b.c"], ["a.b.c"], [""], ["BearerA b"], ["Bearers a"], [" Bearer a"]])(
    "%j contains no Bearer token",
    (field) => expect(readBearerToken([field])).toEqual(missing),
  );

  test("without a field the token is missing", () => expect(readBearerToken([])).toEqual(missing));

  test("H1 two fields are rejected, whatever their values", () => {
    expect(readBearerToken(["Bearer a", "Bearer a"])).toEqual(malformed);
    expect(readBearerToken(["Bearer a", "Basic b"])).toEqual(malformed);
    expect(readBearerToken(["", ""])).toEqual(malformed);
  });

  test("T19 a field that is too long for a token is rejected by its start alone", () => {
    expect(readBearerToken([`Bearer ${"a".repeat(8192)}`])).toMatchObject({ ok: true });
    expect(readBearerToken([`Bearer ${"a".repeat(8193)}`])).toEqual({ ok: false, reason: "token_too_large" });
    expect(readBearerToken([`Negotiate ${"a".repeat(60_000)}`])).toEqual(missing);
    const huge = Buffer.from(`Bearer ${"a".repeat(1_000_000)}!`).toString("latin1");
    const rounds = 1_000;
    const start = process.cpuUsage();
    for (let i = 0; i < rounds; i++) expect(readBearerToken(huge).ok).toBe(false);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / rounds / 1000).toBeLessThan(1);
  });

  test("H2 a token is one run of token68 characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (rest) => {
        const read = readBearerToken([`Bearer ${rest}`]);
        expect(read.ok).toBe(/^[A-Za-z0-9\-._~+/]+=*$/.test(rest) && !rest.includes("\n"));
        if (read.ok) expect(read.token).toBe(rest);
      }),
    );
  });
});
