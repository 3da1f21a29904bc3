export type JsonObject = { [name: string]: unknown };

/**
 * Reports whether a value is an object with named members: not an array, and not a Map or another built-in, whose contents
 * are no members. Objects of other realms count too.
 */
export function isPlainObject(value: unknown): value is JsonObject {
  return Object.prototype.toString.call(value) === "[object Object]";
}

/** The reason for rejecting a text; `forbidden-name` is an unsafe property name, `number-range` a number beyond doubles. */
export type JsonProblem =
  "syntax" | "depth" | "duplicate-name" | "forbidden-name" | "lone-surrogate" | "number-range" | "not-an-object";

export type StrictJson = { ok: true; value: JsonObject } | { ok: false; problem: JsonProblem };

/** Unsafe property names: copying them carelessly changes a prototype. */
const FORBIDDEN = ["__proto__", "constructor", "prototype"];

/**
 * Parses a JSON object and rejects everything that parsers disagree about (RFC 7515 section 4, RFC 8259 section 4):
 * duplicate keys, unsafe property names, lone surrogates, nesting deeper than `maxDepth`. The result is deep-frozen, so
 * readers can share it. Its objects have no prototype, so a polluted `Object.prototype` adds nothing to them.
 *
 * Duplicates are found by counting: `JSON.parse` keeps one member per name, however the name is escaped. A text with more
 * strings (names included) than the parsed value has a duplicate key.
 */
export function parseStrictJson(text: string, maxDepth: number): StrictJson {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("syntax");
  }
  if (!isPlainObject(value)) return refuse("not-an-object");
  const tally: Tally = { strings: 0, problem: undefined };
  const bare = inspect(value, tally, maxDepth);
  if (tally.problem !== undefined) return refuse(tally.problem);
  if (2 * tally.strings !== quotesOf(text)) return refuse("duplicate-name");
  return { ok: true, value: bare as JsonObject };
}

/** Returns why `parseStrictJson` would reject a parsed value after it is serialized again; undefined if it would not. */
export function problemOfJson(value: JsonObject, maxDepth: number): JsonProblem | undefined {
  const tally: Tally = { strings: 0, problem: undefined };
  inspect(value, tally, maxDepth);
  return tally.problem;
}

function refuse(problem: JsonProblem): StrictJson {
  return { ok: false, problem };
}

/** Counts the quotation marks around the strings of valid JSON: two for each. */
function quotesOf(text: string): number {
  let quotes = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) quotes++;
    else if (code === 0x5c) i++; // the escaped character is part of a string
  }
  return quotes;
}

interface Tally {
  /** The number of names and of string values. */
  strings: number;
  problem: JsonProblem | undefined;
}

/**
 * The constructor of parsed objects. Its prototype is empty and frozen, which is as safe as a null prototype but faster to
 * freeze.
 */
const Bare = function () {} as unknown as new () => JsonObject;
Bare.prototype = Object.freeze(Object.create(null));

/** @param depth the allowed levels @returns the value, with `Bare` objects */
function inspect(value: unknown, tally: Tally, depth: number): unknown {
  if (typeof value === "string") {
    tally.strings++;
    if (!value.isWellFormed()) tally.problem = "lone-surrogate";
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) tally.problem = "number-range"; // such as 1e999, which serializes to null
  }
  if (typeof value !== "object" || value === null) return value;
  if (depth === 0) {
    tally.problem = "depth";
    return value;
  }
  if (Array.isArray(value)) return Object.freeze(value.map((item) => inspect(item, tally, depth - 1)));
  const bare = Object.assign(new Bare(), value);
  for (const name in bare) {
    if (FORBIDDEN.includes(name)) tally.problem = "forbidden-name";
    inspect(name, tally, 0); // counts the name as a string
    bare[name] = inspect(bare[name], tally, depth - 1);
  }
  return Object.freeze(bare);
}
