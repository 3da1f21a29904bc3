import { isScope } from "countersign/protocol";

/** Why this is no scope; undefined: it is one. */
export function problemOfScope(scope: string): string | undefined {
  if (isScope(scope)) return undefined;
  if (/\s/.test(scope)) return "a scope has no blanks: several are written as several items of the list";
  return "a scope has 1 to 128 characters of printable ASCII, without '\"' and '\\'";
}

/** The scopes of a list with blanks between them, each once; undefined: it is no such list. */
export function scopesIn(list: string): readonly string[] | undefined {
  const scopes = list.split(" ");
  return scopes.every(isScope) ? [...new Set(scopes)] : undefined;
}
