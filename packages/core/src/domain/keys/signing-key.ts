import type { Algorithm, PublishedJwk } from "countersign/protocol";

/** `static` keys are replaced manually, `dynamic` keys on a schedule. */
export type KeyKind = "static" | "dynamic";

/**
 * A signing key and its dates, milliseconds since the epoch by the store's clock. Configuration changes do not move them,
 * and they never move later.
 */
export interface SigningKey {
  readonly appId: string;
  readonly kid: string;
  readonly kind: KeyKind;
  readonly algorithm: Algorithm;
  /**
   * Counts the keys of one app, kind and algorithm from 1. Unique, so that one instance wins a race. Below 1: imported,
   * verifies only.
   */
  readonly sequence: number;
  readonly createdAt: number;
  readonly signsFrom: number;
  /** When its successor is scheduled to take over; null: not scheduled. */
  readonly signsUntil: number | null;
  /** When it is removed from the key set; its tokens expire no later. Null: never. */
  readonly verifiesUntil: number | null;
  readonly revokedAt: number | null;
  readonly publicJwk: PublishedJwk;
}

/** Reports whether tokens signed by the key verify. */
export function isLive(key: SigningKey, now: number): boolean {
  return key.revokedAt === null && (key.verifiesUntil === null || now < key.verifiesUntil);
}

/**
 * Returns the active signing key of a kind and algorithm: the newest whose `signsFrom` has passed. It signs past its
 * `signsUntil` if its successor is late, because verifiers do not know another key yet. If it was revoked, its prepared
 * successor takes over immediately, but never a retired key, even if a clock moved backward. If the clock is before
 * every `signsFrom`, the first key signs.
 */
export function signerOf<K extends SigningKey>(
  keys: readonly K[],
  kind: KeyKind,
  algorithm: string,
  now: number,
): K | undefined {
  let newest: K | undefined;
  for (const key of keys) {
    if (key.kind !== kind || key.algorithm !== algorithm || neverSigns(key)) continue;
    if (key.signsFrom > now && key.revokedAt === null) continue;
    if (newest === undefined || key.sequence > newest.sequence) newest = key;
  }
  if (newest !== undefined && isLive(newest, now)) return newest;
  return successorOf(keys, newest ?? { kind, algorithm, sequence: 0 }, now);
}

/** Reports whether the key was imported for verification only, or revoked before it signed. */
function neverSigns({ sequence, signsFrom, revokedAt }: SigningKey): boolean {
  return sequence < 1 || (revokedAt !== null && revokedAt < signsFrom);
}

/** Returns the first of the keys that do not sign yet and will replace `signer`. */
export function successorOf<K extends SigningKey>(
  keys: readonly K[],
  signer: { readonly kind: KeyKind; readonly algorithm: string; readonly sequence: number },
  now: number,
): K | undefined {
  let next: K | undefined;
  for (const key of keys) {
    if (key.kind !== signer.kind || key.algorithm !== signer.algorithm) continue;
    if (key.sequence <= signer.sequence || key.signsFrom <= now || !isLive(key, now)) continue;
    if (next === undefined || key.sequence < next.sequence) next = key;
  }
  return next;
}

/**
 * Returns the keys of the key set: all live keys, also prepared ones. Static keys come first, and each kind starts with
 * its active key, because some clients hard-code the first key whose kid starts with `s-`.
 */
export function publishedKeys<K extends SigningKey>(keys: readonly K[], now: number): K[] {
  const rank = (key: K) => {
    const signs = signerOf(keys, key.kind, key.algorithm, now) === key;
    return (key.kind === "static" ? 0 : 2) + (signs ? 0 : 1);
  };
  return keys.filter((key) => isLive(key, now)).sort((a, b) => rank(a) - rank(b) || b.sequence - a.sequence);
}

/** Returns the next time after `now` at which the live keys or an active key change by their dates alone. */
export function nextChangeOf(keys: readonly SigningKey[], now: number): number {
  let next = Infinity;
  for (const key of keys) {
    for (const date of [key.signsFrom, key.verifiesUntil]) {
      if (date !== null && date > now && date < next) next = date;
    }
  }
  return next;
}
