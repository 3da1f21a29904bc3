/** What we sign with and verify. Symmetric algorithms are absent on purpose: there is no code for them (RFC 8725 section 2.1). */
export type Algorithm = "RS256" | "ES256" | "Ed25519";

export const ALGORITHMS: readonly Algorithm[] = Object.freeze(["RS256", "ES256", "Ed25519"] as const);

/** Exact names only: case variants and blanks are attacks, not spellings. `EdDSA` is the older name of Ed25519 (RFC 9864). */
const BY_NAME: ReadonlyMap<unknown, Algorithm> = new Map<unknown, Algorithm>([
  ...ALGORITHMS.map((name) => [name, name] as const),
  ["EdDSA", "Ed25519"],
]);

/** The algorithm of a `alg` value, or undefined for anything that is not exactly one of its names. */
export function algorithmNamed(name: unknown): Algorithm | undefined {
  return BY_NAME.get(name);
}
