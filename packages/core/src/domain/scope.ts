/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/;

/** Why this is no scope; undefined: it is one. */
export function problemOfScope(scope: string): string | undefined {
  if (SCOPE.test(scope)) return undefined;
  if (/\s/.test(scope)) return "a scope has no blanks: several are written as several items of the list";
  return "a scope has 1 to 128 characters of printable ASCII, without '\"' and '\\'";
}

/** The scopes of a list with blanks between them, each once; undefined: it is no such list. */
export function scopesIn(list: string): readonly string[] | undefined {
  const scopes = list.split(" ");
  return scopes.every((scope) => problemOfScope(scope) === undefined) ? [...new Set(scopes)] : undefined;
}
