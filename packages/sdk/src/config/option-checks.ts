import { CountersignError } from "../protocol/errors.ts";
import { isPlainObject } from "../protocol/strict-json.ts";

/**
 * Throws if `options` is not an object or contains an unknown option. A misspelled option would otherwise have no effect.
 *
 * @param at prefix of option names in the message, such as `jwksUri[0].`
 */
export function checkNames(options: object, known: ReadonlySet<string>, at = ""): void {
  checkOption(isPlainObject(options), at.slice(0, -1) || "options", "an object", options);
  for (const name of Object.keys(options)) {
    checkOption(known.has(name), at + name, `one of the options ${[...known].join(", ")}`);
  }
}

/**
 * Throws CountersignError `invalid_option` unless `holds`. The message is `name: expected X, got "Y"`.
 *
 * @param got the value, or undefined to leave it out of the message; never a secret
 */
export function checkOption(holds: boolean, name: string, expected: string, got?: unknown): asserts holds {
  if (holds) return;
  const seen = got === undefined ? "" : `, got ${quote(got)}`;
  throw new CountersignError("invalid_option", `${name}: expected ${expected}${seen}`);
}

function quote(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100));
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}
