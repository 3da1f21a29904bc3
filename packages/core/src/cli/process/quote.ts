/** Makes text from outside safe to print: replaces control and direction characters, and truncates. */
export function safe(value: string | undefined, maxLength = 400): string {
  // eslint-disable-next-line no-control-regex -- they are what is replaced
  const shown = (value ?? "").replace(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, "?");
  return shown.length > maxLength ? `${shown.slice(0, maxLength)}…` : shown;
}

/** Quotes what a user typed, for an error message. */
export function quote(value: string): string {
  return `"${safe(value, 80)}"`;
}
