import { describe, expect, test } from "vitest";
import { CountersignError } from "../../src/protocol/errors.ts";
import { resolveVerifierOptions, type VerifierOptions } from "../../src/verify/verifier-options.ts";
import { createVerifier } from "../../src/verify/verifier.ts";

const jwksUri = "https://core.test/.well-known/jwks.json";
const resolve = (options: unknown) => resolveVerifierOptions(options as VerifierOptions);

function errorOf(options: unknown): CountersignError {
  try {
    createVerifier(options as VerifierOptions).close();
  } catch (error) {
    expect(error).toBeInstanceOf(CountersignError);
    expect(error).toMatchObject({ code: "invalid_option" });
    return error as CountersignError;
  }
  throw new Error(`accepted: ${JSON.stringify(options)}`);
}

describe("defaults", () => {
  test("are those of the contract, frozen", () => {
    const [issuer] = resolve({ jwksUri });
    const rules = {
      issuer: undefined,
      audience: [],
      requiredClaims: new Map([["source", "microservice"]]),
      allow: undefined,
      scope: [],
      clockTolerance: 30,
      maxTokenLifetime: undefined,
    };
    expect(issuer).toEqual({
      rules,
      enforced: rules,
      algorithms: new Set(["RS256", "ES256", "Ed25519"]),
      jwksUri,
      allowHttp: false,
      at: "",
      revocationsUri: undefined,
      maxStale: 259_200_000,
    });
    expect(Object.isFrozen(issuer) && Object.isFrozen(issuer!.rules)).toBe(true);
  });

  test("of several issuers come from the shared options, and each issuer can override them", () => {
    const issuers = resolve({
      audience: "stock",
      clockTolerance: 5,
      jwksUri: [
        { issuer: "a", jwksUri },
        { issuer: "b", jwksUri, audience: null, clockTolerance: 0, algorithms: ["EdDSA"], maxTokenLifetime: 60 },
      ],
    });
    expect(
      issuers.map(({ rules }) => [rules.issuer, rules.audience, rules.clockTolerance, rules.maxTokenLifetime]),
    ).toEqual([
      ["a", ["stock"], 5, undefined],
      ["b", null, 0, 60],
    ]);
    expect(issuers[1]!.algorithms).toEqual(new Set(["Ed25519"]));
  });

  test("later changes of the caller's objects have no effect", () => {
    const audience = ["a"];
    const requiredClaims: Record<string, string> = { role: "a" };
    const [issuer] = resolve({ jwksUri, audience, requiredClaims });
    audience.push("b");
    requiredClaims["role"] = "b";
    expect(issuer!.rules.audience).toEqual(["a"]);
    expect(issuer!.rules.requiredClaims.get("role")).toBe("a");
  });
});

describe("an invalid option is rejected at creation, by name", () => {
  test.each([
    [undefined, /^options: expected an object/],
    [null, /^options/],
    ["https://core.test", /^options/],
    [{}, /^jwksUri: expected the URL/],
    [{ jwksUri, jwksUrl: "x" }, /^jwksUrl: expected one of the options audience, .*, onEvent$/],
    [{ jwksUri: "core.test/jwks" }, /^jwksUri: expected an absolute URL/],
    [{ jwksUri: "" }, /^jwksUri/],
    [{ jwksUri: {} }, /^jwksUri/],
    [{ jwksUri: null }, /^jwksUri: expected an absolute URL/],
    [{ jwksUri: "ftp://core.test/jwks?key=1" }, /^jwksUri: expected https .*, got "ftp:\/\/core.test"$/],
    [{ jwksUri: "file:///jwks" }, /^jwksUri/],
    [{ jwksUri: "https://u:p@core.test" }, /^jwksUri: expected a URL without a user name$/],
    [{ jwksUri: [] }, /^jwksUri: expected at least one/],
    [{ jwksUri: [{ jwksUri }] }, /^jwksUri\[0\]\.issuer/],
    [{ jwksUri: [{ issuer: "a" }] }, /^jwksUri\[0\]\.issuer: expected an absolute URL/],
    [
      {
        jwksUri: [
          { issuer: "a", jwksUri },
          { issuer: "a", jwksUri },
        ],
      },
      /each issuer once/,
    ],
    [{ jwksUri: [{ issuer: "a", jwksUri, onEvent: () => {} }] }, /^jwksUri\[0\]\.onEvent/],
    [{ jwksUri: [null] }, /^jwksUri\[0\]/],
    [{ jwksUri: [{ issuer: "a", jwksUri }], issuer: "a" }, /^issuer/],
    [{ issuer: "" }, /^issuer/],
    [{ issuer: 1 }, /^issuer/],
    [{ issuer: "orders" }, /^issuer: expected an absolute URL/],
    [{ jwksUri, audience: "" }, /^audience/],
    [{ jwksUri, audience: [] }, /^audience/],
    [{ jwksUri, audience: [1] }, /^audience/],
    [{ jwksUri, audience: {} }, /^audience/],
    [{ jwksUri, allow: [] }, /^allow: expected one or several names/],
    [{ jwksUri, allow: "" }, /^allow/],
    [{ jwksUri, allow: ["orders", 1] }, /^allow/],
    [{ jwksUri, allow: null }, /^allow/],
    [{ jwksUri, allow: new Set(["orders"]) }, /^allow/],
    [{ jwksUri, scope: "" }, /^scope: expected one or several names/],
    [{ jwksUri, scope: [] }, /^scope/],
    [{ jwksUri, scope: null }, /^scope/],
    [{ jwksUri, scope: ["stock:read stock:reserve"] }, /^scope/],
    [{ jwksUri, scope: "stock:read  stock:reserve" }, /^scope/],
    [{ jwksUri, scope: 'a"b' }, /^scope/],
    [{ jwksUri, scope: "a\\b" }, /^scope/],
    [{ jwksUri, scope: "lesen\u00e4" }, /^scope/],
    [{ jwksUri, scope: "a\r\nx: y" }, /^scope/],
    [{ jwksUri, scope: "x".repeat(129) }, /^scope/],
    [{ jwksUri, reportOnly: "yes" }, /^reportOnly: expected true or false, got "yes"$/],
    [{ jwksUri: [{ issuer: "a", jwksUri, scope: "" }] }, /^jwksUri\[0\]\.scope/],
    [{ jwksUri, algorithms: [] }, /^algorithms/],
    [{ jwksUri, algorithms: ["HS256"] }, /^algorithms/],
    [{ jwksUri, algorithms: ["none"] }, /^algorithms/],
    [{ jwksUri, algorithms: ["rs256"] }, /^algorithms/],
    [{ jwksUri, algorithms: "RS256" }, /^algorithms/],
    [{ jwksUri, maxTokenLifetime: 0 }, /^maxTokenLifetime/],
    [{ jwksUri, maxTokenLifetime: Infinity }, /^maxTokenLifetime/],
    [{ jwksUri, maxTokenLifetime: "60" }, /^maxTokenLifetime/],
    [{ jwksUri, allowHttp: "yes" }, /^allowHttp/],
    [{ jwksUri, onEvent: "log" }, /^onEvent/],
    [{ jwksUri, maxStale: -1 }, /^maxStale: expected seconds from 0 up, got -1$/],
    [{ jwksUri, maxStale: Infinity }, /^maxStale/],
    [{ jwksUri, maxStale: "3d" }, /^maxStale/],
    [{ jwksUri, revocationsUri: "" }, /^revocationsUri/],
    [{ jwksUri, revocationsUri: true }, /^revocationsUri/],
    [{ jwksUri, revocationsUri: "http://core.test/revocations" }, /^revocationsUri: expected https/],
    [
      { jwksUri: [{ issuer: "a", jwksUri }], revocationsUri: jwksUri },
      /^revocationsUri: expected no value when jwksUri lists issuers/,
    ],
    [{ jwksUri: "http://core.test/jwks" }, /^jwksUri: expected https/],
  ])("%j", (options, message) => {
    expect(errorOf(options).message).toMatch(message);
  });

  test.each([[NaN], [Infinity], [-Infinity], [-1], [301], ["30"], [null]])(
    "C5 a clockTolerance of %s",
    (clockTolerance) => {
      expect(errorOf({ jwksUri, clockTolerance }).message).toMatch(/^clockTolerance: expected seconds from 0 to 300/);
      const issuers = [{ issuer: "a", jwksUri, clockTolerance }];
      expect(errorOf({ jwksUri: issuers }).message).toMatch(/^jwksUri\[0\]\.clockTolerance: expected seconds from 0/);
    },
  );

  test.each([
    ["a pattern", { role: /a/ }],
    ["a list", { role: ["a"] }],
    ["a function", { role: () => true }],
    ["null", { role: null }],
    ["undefined", { role: undefined }],
    ["NaN", { role: NaN }],
    ["an object", { role: {} }],
    ["a pattern in place of the object", /a/],
    ["a Map, which would require nothing", new Map([["role", "a"]])],
    ["a list in place of the object", ["a"]],
    ["null in place of the object", null],
    ["a string in place of the object", "microservice"],
  ])("C8 requiredClaims with %s", (_name, requiredClaims) => {
    expect(errorOf({ jwksUri, requiredClaims }).message).toMatch(/^requiredClaims/);
  });
});

describe("C8 only exact strings: a pattern or a function neither compiles nor passes", () => {
  const wrong: VerifierOptions[] = [
    // @ts-expect-error C8
    { jwksUri, issuer: /core/ },
    // @ts-expect-error C8
    { jwksUri, audience: /stock/ },
    // @ts-expect-error C8
    { jwksUri, audience: ["stock", /stock/] },
    // @ts-expect-error C8
    { jwksUri, audience: () => true },
    // @ts-expect-error C8
    { jwksUri, requiredClaims: { role: /reader/ } },
    // @ts-expect-error C8
    { jwksUri, requiredClaims: { role: (role: string) => role === "reader" } },
    // @ts-expect-error C8
    { jwksUri, requiredClaims: { role: ["reader"] } },
    // @ts-expect-error C8
    { jwksUri, allow: /orders/ },
    // @ts-expect-error C8
    { jwksUri, allow: (name: string) => name === "orders" },
    // @ts-expect-error C8
    { jwksUri, scope: [/stock/] },
    // @ts-expect-error C8
    { jwksUri, algorithms: [/RS/] },
    // @ts-expect-error C8
    { jwksUri: [{ issuer: /core/, jwksUri }] },
    // @ts-expect-error C8
    { jwksUri: /core/ },
  ];
  test.each(wrong)("C8 %#: %o", (options) => {
    const names =
      /^(jwksUri\[0\]\.issuer|jwksUri|issuer|audience|requiredClaims\.role|allow|scope|algorithms): expected/;
    expect(errorOf(options).message).toMatch(names);
  });
});

describe("what is allowed", () => {
  test.each([
    [{ jwksUri, clockTolerance: 0 }],
    [{ jwksUri, clockTolerance: 300 }],
    [{ jwksUri, audience: null }],
    [{ jwksUri, requiredClaims: {} }],
    [{ jwksUri: "http://localhost:3567/jwks" }],
    [{ jwksUri: "http://127.0.0.1:3567/jwks" }],
    [{ jwksUri: "http://127.9.9.9/jwks" }],
    [{ jwksUri: "http://[::1]:3567/jwks" }],
    [{ jwksUri: "http://core.test/jwks", allowHttp: true }],
  ])("%j", (options) => {
    const verifier = createVerifier(options);
    expect(typeof verifier.verify).toBe("function");
    verifier.close();
  });

  test.each([
    ["http://localhost.evil.test"],
    ["http://127.0.0.1.evil.test"],
    ["http://evil.test/localhost"],
    ["http://0.0.0.0"],
    ["http://[::]"],
  ])("K10 %s is not this machine", (url) => expect(errorOf({ jwksUri: url }).message).toMatch(/https/));
});
