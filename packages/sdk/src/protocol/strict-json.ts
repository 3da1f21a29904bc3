export type JsonObject = { [name: string]: unknown };

/**
 * Reports whether a value is an object with named members: not an array, and not a Map or another built-in, whose contents
 * are no members. Objects of other realms count too.
 */
export function isPlainObject(value: unknown): value is JsonObject {
  return Object.prototype.toString.call(value) === "[object Object]";
}

/** Why a text was refused: not JSON, too deep, a name twice, a name that poisons prototypes, text that is not Unicode, or a number no reader can hold. */
export type JsonProblem =
  "syntax" | "depth" | "duplicate-name" | "forbidden-name" | "lone-surrogate" | "number-range" | "not-an-object";

export type StrictJson = { ok: true; value: JsonObject } | { ok: false; problem: JsonProblem };

/** Names that reach a prototype when somebody copies the object carelessly. */
const FORBIDDEN = ["__proto__", "constructor", "prototype"];

/**
 * Parses a JSON object and refuses what parsers disagree about (RFC 7515 section 4, RFC 8259 section 4):
 * duplicate names, names that reach a prototype, lone surrogates, nesting deeper than `maxDepth`.
 * What it returns is frozen to its leaves, and its objects have no prototype: nobody can change what another one reads,
 * and what a stranger did not write is never read from them, whatever was done to `Object.prototype` elsewhere in the
 * process.
 *
 * Duplicates are found by counting: `JSON.parse` keeps one member per name, however the name is
 * escaped, so a text with more strings than its value, names among them, has said some name twice.
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

/** What a reader will refuse of a value that JSON was read as, once it is written again. */
export function problemOfJson(value: JsonObject, maxDepth: number): JsonProblem | undefined {
  const tally: Tally = { strings: 0, problem: undefined };
  inspect(value, tally, maxDepth);
  return tally.problem;
}

function refuse(problem: JsonProblem): StrictJson {
  return { ok: false, problem };
}

/** Quotation marks around the strings of a text that is JSON: two for each. */
function quotesOf(text: string): number {
  let quotes = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) quotes++;
    else if (code === 0x5c) i++; // what it escapes is part of a string
  }
  return quotes;
}

interface Tally {
  /** Names and values that are text. */
  strings: number;
  problem: JsonProblem | undefined;
}

/**
 * What `JSON.parse` makes, without its prototype: nothing is found on such an object but what the text said. As good as
 * a null prototype, which makes an object slow to freeze.
 */
const Bare = function () {} as unknown as new () => JsonObject;
Bare.prototype = Object.freeze(Object.create(null));

/** @param depth levels that may follow @returns the value, its objects bare */
function inspect(value: unknown, tally: Tally, depth: number): unknown {
  if (typeof value === "string") {
    tally.strings++;
    if (!value.isWellFormed()) tally.problem = "lone-surrogate";
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) tally.problem = "number-range"; // such as 1e999, which would be written as null
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
    inspect(name, tally, 0); // a string, as values may be
    bare[name] = inspect(bare[name], tally, depth - 1);
  }
  return Object.freeze(bare);
}
