import { isScope } from "countersign/protocol";

/** Scopes of one call: a token that has all of them stays small. */
export const MAX_SCOPES = 100;

/** Returns why the scope is invalid, or undefined if it is valid. */
export function problemOfScope(scope: string): string | undefined {
  if (isScope(scope)) return undefined;
  if (/\s/.test(scope)) return "a scope cannot contain spaces; write each scope as its own list item";
  return "a scope has 1 to 128 characters of printable ASCII, without '\"' and '\\'";
}

/** Returns the scopes of a space-separated list without duplicates, or undefined if one of them is invalid. */
export function scopesIn(list: string): readonly string[] | undefined {
  const scopes = list.split(" ");
  return scopes.every(isScope) ? [...new Set(scopes)] : undefined;
}

/** Joins names for use in a sentence, ten at most. */
export function listOf(names: readonly string[], word: "and" | "or" = "and"): string {
  if (names.length > 10) return `${names.slice(0, 10).join(", ")} ${word} ${names.length - 10} more`;
  if (names.length < 2) return names[0] ?? "no scope";
  return `${names.slice(0, -1).join(", ")} ${word} ${names.at(-1)}`;
}
