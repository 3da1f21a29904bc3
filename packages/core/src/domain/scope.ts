/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/;

/** The scopes of a list with blanks between them, each once; undefined: it is no such list. */
export function scopesIn(list: string): readonly string[] | undefined {
  const scopes = list.split(" ");
  return scopes.every((scope) => SCOPE.test(scope)) ? [...new Set(scopes)] : undefined;
}
