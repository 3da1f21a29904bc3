import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeUtf8 } from "../../src/protocol/base64url.ts";
import { isPlainObject, parseStrictJson, problemOfJson, type JsonObject } from "../../src/protocol/strict-json.ts";
import { readVectorBytes, vectorFiles } from "../support/vectors.ts";

const problemOf = (text: string, depth = 16) => {
  const parsed = parseStrictJson(text, depth);
  return parsed.ok ? undefined : parsed.problem;
};
const nested = (levels: number) => '{"a":'.repeat(levels - 1) + "{}" + "}".repeat(levels - 1);

describe("parseStrictJson", () => {
  const anyName = fc.string().filter((name) => !["__proto__", "constructor", "prototype"].includes(name));
  const tree = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.string({ unit: "grapheme" }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("value"), { maxLength: 4 }),
      tie("object"),
    ),
    object: fc.dictionary(anyName, tie("value"), { maxKeys: 5 }),
  })).object;

  test("returns the same as JSON.parse for every object that both accept", () => {
    fc.assert(
      fc.property(tree, fc.constantFrom(undefined, 1, "\t"), (object, space) => {
        const text = JSON.stringify(object, null, space);
        expect(parseStrictJson(text, 16)).toEqual({ ok: true, value: JSON.parse(text) as unknown });
      }),
    );
  });

  test("T11 a duplicate key is found at any position and with any escaping", () => {
    const escaped = (name: string) =>
      [...name].map((one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");
    const plain = fc.stringMatching(/^[a-z]{1,8}$/);
    fc.assert(
      fc.property(plain, fc.boolean(), fc.integer({ min: 0, max: 5 }), tree, (name, escape, depth, other) => {
        const twin = escape ? escaped(name) : name;
        const object = `{"${name}":1,"x-0":${JSON.stringify(other)},"${twin}":2}`;
        const text = '{"y-0":['.repeat(depth) + object + "]}".repeat(depth);
        expect(problemOf(text, 99)).toBe("duplicate-name");
      }),
    );
  });

  test.each([
    ['{"sub":"a","sub":"admin"}'],
    ['{"sub":"a","sub":"a"}'],
    ['{"a":{"b":1,"b":2}}'],
    ['{"a":[{"b":1},{"b":1,"\\u0062":2}]}'],
    ['{"1":1,"1":2}'],
    ['{"":1,"":2}'],
  ])("T11 %s is rejected", (text) => expect(problemOf(text)).toBe("duplicate-name"));

  test.each([
    ['{"a:b":"{\\"c\\":1,\\"c\\":2}"}'],
    ['{"a":{"b":1},"c":{"b":1}}'],
    ['{"a":"\\\\","b":"\\":"}'],
    ['{"a":"A","A":"a"}'],
  ])("text that only resembles a duplicate key is accepted: %s", (text) => expect(problemOf(text)).toBeUndefined());

  test.each([["__proto__"], ["constructor"], ["prototype"], ["\\u005f_proto__"]])(
    "C7 the name %s is rejected at every depth",
    (name) => {
      expect(problemOf(`{"${name}":{"admin":true}}`)).toBe("forbidden-name");
      expect(problemOf(`{"a":[{"${name}":1}]}`)).toBe("forbidden-name");
      expect(problemOf(`{"a":"${name}"}`)).toBeUndefined();
    },
  );

  test("T20 nesting is counted at any depth, and brackets in strings do not count", () => {
    expect(problemOf(nested(16))).toBeUndefined();
    expect(problemOf(nested(17))).toBe("depth");
    expect(problemOf(nested(1_000_000))).toBe("depth");
    expect(problemOf(`{"a":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`)).toBe("depth");
    expect(problemOf('{"a":'.repeat(1_000_000))).toBe("syntax");
    expect(problemOf("[".repeat(1_000_000))).toBe("syntax");
    expect(problemOf(`{"a":"${"[{".repeat(100)}\\"${"{".repeat(100)}"}`)).toBeUndefined();
    expect(problemOf(`{"a":[[[1]]]}`, 4)).toBeUndefined();
    expect(problemOf(`{"a":[[[1]]]}`, 3)).toBe("depth");
  });

  test.each([
    ['{"a":"\\ud800"}'],
    ['{"a":["\\udc00x"]}'],
    ['{"\\ud83d":1}'],
    ['{"a":"\ud800"}'],
    ['{"a":"\\udc00\\ud800"}'],
  ])("T21 a lone surrogate is rejected: %j", (text) => expect(problemOf(text)).toBe("lone-surrogate"));

  test("a number outside the range of a double is rejected", () => {
    expect(problemOf('{"a":1e999}')).toBe("number-range");
    expect(problemOf('{"a":[-1e999]}')).toBe("number-range");
    expect(problemOf('{"a":1e308}')).toBeUndefined();
  });

  test("a surrogate pair is accepted", () => expect(problemOf('{"a":"\\ud83d\\ude00","😀":1}')).toBeUndefined());

  test.each([["[]"], ["[{}]"], ["null"], ["true"], ["1"], ['"{}"'], ["1e999"], ["[1,2]"]])(
    "T22 %s is not an object",
    (text) => expect(problemOf(text)).toBe("not-an-object"),
  );

  test.each([
    [""],
    [" "],
    ["{"],
    ["{}{}"],
    ["{'a':1}"],
    ['{"a":1,}'],
    ["\ufeff{}"],
    ['{"a":NaN}'],
    ['{"a":01}'],
    ['{"a"}'],
    ["{}\0"],
  ])("invalid JSON is rejected: %j", (text) => expect(problemOf(text)).toBe("syntax"));
});

describe("JSONTestSuite", () => {
  const files = vectorFiles("jsontestsuite");

  test("every file that must be rejected is rejected, also as the value of a member", () => {
    for (const file of files.filter((name) => name.startsWith("n_"))) {
      const text = decodeUtf8(readVectorBytes(`jsontestsuite/${file}`));
      if (text === undefined) continue;
      expect(parseStrictJson(text, 16).ok, file).toBe(false);
      expect(parseStrictJson(`{"v":${text}}`, 16).ok, file).toBe(false);
    }
  });

  test("every file that must be accepted is read as by JSON.parse, except T11 duplicate keys and T22 other values than objects", () => {
    for (const file of files.filter((name) => name.startsWith("y_"))) {
      const text = decodeUtf8(readVectorBytes(`jsontestsuite/${file}`));
      expect(text, file).toBeDefined();
      const value = JSON.parse(text!) as unknown;
      const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
      if (file.includes("duplicated_key")) {
        expect(problemOf(text!), file).toBe("duplicate-name");
        continue;
      }
      expect(parseStrictJson(text!, 16), file).toEqual(
        isObject ? { ok: true, value } : { ok: false, problem: "not-an-object" },
      );
      expect(parseStrictJson(`{"v":${text!}}`, 16), file).toEqual({ ok: true, value: { v: value } });
    }
  });

  test("files that parsers can disagree about never yield a string that is not valid Unicode", () => {
    for (const file of files.filter((name) => name.startsWith("i_string"))) {
      const text = decodeUtf8(readVectorBytes(`jsontestsuite/${file}`));
      if (text !== undefined) expect(parseStrictJson(`{"v":${text}}`, 16).ok, file).toBe(false);
    }
  });
});

test("the result is deeply frozen, so one caller cannot change it for another", () => {
  const read = parseStrictJson('{"a":[{"b":{"c":1}}],"d":null}', 16);
  const value = (read.ok ? read.value : {}) as { a: { b: { c: number } }[]; d: unknown };
  expect(value).toEqual({ a: [{ b: { c: 1 } }], d: null });
  expect(() => (value.a[0]!.b.c = 2)).toThrow(TypeError);
  expect(() => value.a.push({ b: { c: 3 } })).toThrow(TypeError);
  expect(() => (value.d = 1)).toThrow(TypeError);
});

describe("problemOfJson", () => {
  test("accepts or rejects a value as the parser does", () => {
    expect(problemOfJson({ a: [1] }, 2)).toBeUndefined();
    expect(problemOfJson({ a: [[1]] }, 2)).toBe("depth");
    expect(problemOfJson({ a: "\ud800" }, 2)).toBe("lone-surrogate");
    expect(problemOfJson({ constructor: 1 }, 2)).toBe("forbidden-name");
    expect(problemOfJson(JSON.parse('{"a":[{"__proto__":1}]}') as JsonObject, 4)).toBe("forbidden-name");
  });

  test("agrees with parsing the value's JSON again, for any JSON value", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5, stringUnit: "binary" }),
        fc.integer({ min: 1, max: 5 }),
        (value, depth) => {
          const object = JSON.parse(JSON.stringify({ value })) as JsonObject;
          expect(problemOfJson(object, depth)).toBe(problemOf(JSON.stringify(object), depth));
        },
      ),
    );
  });
});

describe("isPlainObject", () => {
  test.each([
    [{}],
    [{ a: 1 }],
    [Object.create(null)],
    [JSON.parse("{}")],
    [parsedObject()],
    [Object.create({ inherited: 1 })],
  ])("%o is a plain object", (value) => expect(isPlainObject(value)).toBe(true));

  test.each([[null], [undefined], [[]], ["{}"], [1], [true], [() => {}], [new Map()], [new Set()], [new Date()]])(
    "%o is not a plain object",
    (value) => expect(isPlainObject(value)).toBe(false),
  );

  function parsedObject(): JsonObject | undefined {
    const parsed = parseStrictJson("{}", 1);
    return parsed.ok ? parsed.value : undefined;
  }
});
