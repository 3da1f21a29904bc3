import type { Algorithm, PublishedJwk } from "countersign/protocol";

/** `static` signs until replaced by hand, `dynamic` is replaced on a schedule. */
export type KeyKind = "static" | "dynamic";

/**
 * A signing key and its dates: milliseconds since the epoch by the store's clock, fixed when the key
 * is made. No later configuration moves them, and nothing ever moves one to later.
 */
export interface SigningKey {
  readonly appId: string;
  readonly kid: string;
  readonly kind: KeyKind;
  readonly algorithm: Algorithm;
  /**
   * Counts the keys of one app, kind and algorithm from 1. No two have the same: that decides races. Below 1: imported
   * only to verify.
   */
  readonly sequence: number;
  readonly createdAt: number;
  readonly signsFrom: number;
  /** When its successor is meant to take over. Null: not by itself. */
  readonly signsUntil: number | null;
  /** When it leaves the published set; no token it signs lives longer. Null: never by itself. */
  readonly verifiesUntil: number | null;
  readonly revokedAt: number | null;
  readonly publicJwk: PublishedJwk;
}

/** Whether tokens signed by the key verify. */
export function isLive(key: SigningKey, now: number): boolean {
  return key.revokedAt === null && (key.verifiesUntil === null || now < key.verifiesUntil);
}

/**
 * The one key of a kind and algorithm that signs: the newest whose turn has come. A key whose successor is late goes
 * on signing, as verifiers could not know another one yet. Where that key was revoked, its prepared successor takes
 * over at once, and never a retired one, wherever a clock was set back to; where that was before every turn, the first
 * key does.
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

/** Imported only to verify, or revoked before its turn. */
function neverSigns({ sequence, signsFrom, revokedAt }: SigningKey): boolean {
  return sequence < 1 || (revokedAt !== null && revokedAt < signsFrom);
}

/** The key that takes over from a signer: of those that wait for their turn, the first. */
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
 * What the key set shows: every live key, prepared ones included, static before dynamic and the
 * signer of each kind first, because people hard-code the first `s-`.
 */
export function publishedKeys<K extends SigningKey>(keys: readonly K[], now: number): K[] {
  const rank = (key: K) => {
    const signs = signerOf(keys, key.kind, key.algorithm, now) === key;
    return (key.kind === "static" ? 0 : 2) + (signs ? 0 : 1);
  };
  return keys.filter((key) => isLive(key, now)).sort((a, b) => rank(a) - rank(b) || b.sequence - a.sequence);
}

/**
 * The next moment after `now` at which the set of live keys or a signer changes by the dates alone.
 */
export function nextChangeOf(keys: readonly SigningKey[], now: number): number {
  let next = Infinity;
  for (const key of keys) {
    for (const date of [key.signsFrom, key.verifiesUntil]) {
      if (date !== null && date > now && date < next) next = date;
    }
  }
  return next;
}
