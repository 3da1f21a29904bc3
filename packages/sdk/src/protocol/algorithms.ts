/** The supported algorithms. Symmetric ones are left out on purpose: no code can confuse the two (RFC 8725 section 2.1). */
export type Algorithm = "RS256" | "ES256" | "Ed25519";

export const ALGORITHMS: readonly Algorithm[] = Object.freeze(["RS256", "ES256", "Ed25519"] as const);

/** Exact names only: variants in case or spaces are attacks. `EdDSA` is the older name of Ed25519 (RFC 9864). */
const BY_NAME: ReadonlyMap<unknown, Algorithm> = new Map<unknown, Algorithm>([
  ...ALGORITHMS.map((name) => [name, name] as const),
  ["EdDSA", "Ed25519"],
]);

/** Returns the algorithm of an `alg` value, or undefined for anything but an exact name. */
export function algorithmNamed(name: unknown): Algorithm | undefined {
  return BY_NAME.get(name);
}
