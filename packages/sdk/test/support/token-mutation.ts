import fc from "fast-check";
import { NOW, type TestKey } from "./keys.ts";

// The changes to a valid token, as data: fast-check can shrink them, and a failure prints them.

export type Part = "header" | "payload";

/** A position in a string whose length is not known yet, in thousandths. */
type Place = number;

/** Names, values and strings go into the token unchanged: raw JSON, or invalid JSON. */
export type Edit =
  | { edit: "member"; part: Part; how: "set" | "drop" | "repeat"; name: string; value: string }
  | { edit: "whole"; part: Part; text: string }
  | { edit: "insert"; part: Part; at: Place; text: string }
  | { edit: "cut"; part: Part; at: Place }
  | { edit: "byte"; part: Part; at: Place; byte: number }
  | { edit: "spell"; part: Part | "signature"; how: "padding" | "alphabet" | "unused bits" | "space" | "line end" }
  | { edit: "sign"; how: (typeof SIGNATURES)[number]; at: Place }
  | { edit: "token"; how: (typeof SHAPES)[number] }
  | { edit: "character"; how: "replace" | "insert" | "drop"; at: Place; text: string };

export interface Mutation {
  /** The indexes of the route that receives it and of the key that signs it. */
  readonly route: number;
  readonly key: number;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly edits: readonly Edit[];
  /** True: sign after the edits, so that the signature is valid and the later checks run. */
  readonly signedAgain: boolean;
}

const SIGNATURES = [
  "truncate",
  "extend",
  "zeros",
  "flip",
  "der",
  "twin",
  "r = 0",
  "s = 0",
  "order",
  "none",
  "twice",
  "reverse",
] as const;
const SHAPES = [
  "dot before",
  "dot after",
  "no signature",
  "no payload",
  "four parts",
  "five parts",
  "swapped",
  "twice",
  "flattened",
  "general",
  "quoted",
  "upper case",
] as const;

const oneOf = fc.constantFrom;
const weighted = <Value>(weight: number, arbitrary: fc.Arbitrary<Value>) => ({ weight, arbitrary });
const is = <Value extends string>(value: Value) => fc.constant<Value>(value);
const quoted = (text: string) => JSON.stringify(text);
const escaped = (text: string) =>
  `"${[...text].map((one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")}"`;

const times = [-31, -30, -29, 0, 29, 30, 31, 3600, 3_153_600_000].map((seconds) => String(NOW + seconds));
const numbers = oneOf(
  ..."1e3 1.0 -0 0 -1 0.5 1E400 -1e999 1e308 1e-7 01 +1 .5 1. NaN 0x10 1_000 9007199254740993".split(" "),
  ..."253402300799 253402300800 1800000000.0 18e8 1.8000036e9 1800000000.5".split(" "),
  ...times,
  ...times,
);

const texts = fc.oneof(
  oneOf(
    ...`"" "orders" "microservice" "inventory" "https://core.test" "\\u006frders" "orders\\u0000" "\\x" "a`.split(" "),
    ...`"\\ud800" "\\udc00\\ud800" "\\ud83d\\ude00" "😀" "a\nb" "a\u2028b" "__proto__" 'a' "${NOW + 60}"`.split(" "),
  ),
  fc.string({ unit: "binary", maxLength: 8 }).map(quoted),
);

const nested = (pairs: number) => `${'{"a":['.repeat(pairs)}1${"]}".repeat(pairs)}`;
const trees = fc.oneof(
  oneOf(
    ...`null true false [] {} ["inventory"] ["x","stock"] ["inventory",1] [[]] [1e999] {"a":1,"a":2}`.split(" "),
    ...`{"__proto__":{"admin":true}} [{"constructor":1}] {"a":{"b":1},"c":{"b":1}}`.split(" "),
    ...[6, 7, 8, 9, 150].flatMap((pairs) => [nested(pairs), `[${nested(pairs)}]`]),
    ...[1_100, 6_500].map((length) => quoted("x".repeat(length))),
  ),
  fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)),
);
const values = fc.oneof(numbers, texts, trees);

const nameOf = (...known: string[]) =>
  fc.oneof(
    weighted(8, oneOf(...known.map(quoted))),
    oneOf(...known.map(escaped)),
    oneOf('"__proto__"', '"constructor"', '"prototype"', '"\\ud800"', '"toString"'),
    fc.string({ maxLength: 4 }).map(quoted),
  );

const at = fc.oneof(fc.integer({ min: 0, max: 1000 }), oneOf(0, 1000));
const part = oneOf<Part[]>("header", "payload");

function memberEdits(kids: readonly string[]): fc.Arbitrary<Edit> {
  const member = (of: Part, name: fc.Arbitrary<string>, value: fc.Arbitrary<string>) =>
    fc.record({ edit: is("member"), part: is(of), how: oneOf("set", "set", "set", "drop", "repeat"), name, value });
  const usually = (...known: string[]) =>
    fc.oneof({ weight: 4, arbitrary: oneOf(...known.map(quoted)) }, { weight: 1, arbitrary: values });
  return fc.oneof(
    member("header", is('"alg"'), usually(..."RS256 ES256 Ed25519 EdDSA none HS256 PS256 ES384 rs256".split(" "))),
    member("header", is('"kid"'), usually(...kids, "s-none", "é", "k".repeat(257))),
    weighted(2, member("header", is('"typ"'), usually(..."JWT at+jwt jwt application/at+jwt id+jwt".split(" ")))),
    member("header", is('"crit"'), oneOf(...`[] ["b64"] ["exp"] ["alg"] ["x"] null "b64"`.split(" "))),
    member("header", is('"b64"'), oneOf("true", "false", "null", "1")),
    weighted(3, member("header", nameOf(..."alg kid typ jwk jku x5c x5u x5t zip enc cty iss x".split(" ")), values)),
    weighted(8, member("payload", nameOf(..."exp nbf iat iss sub aud jti source service x".split(" ")), values)),
    weighted(6, member("payload", oneOf('"exp"', '"nbf"', '"iat"'), numbers)),
  );
}

function edits(kids: readonly string[]): fc.Arbitrary<Edit> {
  const separators = [" ", "\n\t ", "\r\n", "\u00a0", "\ufeff", "\0", ",", "x", "1", "//", "/**/", "{}", "\u2028"];
  const noise = ["=", "==", "+", "/", " ", "\n", "\t", "\0", ".", "A", "_", "-", "~", "é", "\u2028", "%3D", "{}"];
  const spelling = oneOf("padding", "alphabet", "unused bits", "space", "line end");
  const whole = fc.oneof(values, oneOf("", "[{}]", "sub=orders", "{", '{"alg":"none"}'));
  const change = oneOf("replace", "insert", "drop");
  return fc.oneof(
    weighted(24, memberEdits(kids)),
    fc.record({ edit: is("whole"), part, text: whole }),
    weighted(3, fc.record({ edit: is("insert"), part, at, text: oneOf(...separators) })),
    fc.record({ edit: is("cut"), part, at }),
    fc.record({ edit: is("byte"), part, at, byte: fc.integer({ min: 0, max: 255 }) }),
    weighted(2, fc.record({ edit: is("spell"), part: fc.oneof(part, is("signature")), how: spelling })),
    weighted(2, fc.record({ edit: is("sign"), how: oneOf(...SIGNATURES), at })),
    fc.record({ edit: is("token"), how: oneOf(...SHAPES) }),
    weighted(2, fc.record({ edit: is("character"), how: change, at, text: oneOf(...noise) })),
  );
}

/** Mutations of tokens for one of `routes` routes, by one of the keys. */
export function mutations(routes: number, keys: readonly TestKey[]): fc.Arbitrary<Mutation> {
  const edit = edits(keys.map((key) => key.kid));
  return fc.record({
    route: fc.nat(routes - 1),
    key: fc.nat(keys.length - 1),
    claims: fc.dictionary(fc.stringMatching(/^[a-z]{5,9}$/), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 }),
    edits: fc.oneof(...[1, 1, 1, 2, 3].map((length) => fc.array(edit, { minLength: 1, maxLength: length }))),
    signedAgain: fc.nat(5).map((n) => n > 0),
  });
}
