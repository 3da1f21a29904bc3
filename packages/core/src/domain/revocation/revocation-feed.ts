import { ALGORITHMS, LIMITS } from "countersign/protocol";
import type { RotationPolicy } from "../keys/rotation.ts";
import { publishedKeys, signerOf, type SigningKey } from "../keys/signing-key.ts";

/** A token that is refused although its `exp` has not come. */
export interface RevokedToken {
  readonly appId: string;
  readonly jti: string;
  /** Its `exp`, seconds since the epoch: after that it needs no refusing. */
  readonly expiresAt: number;
  /** Who has revoked it, where that was the service that it was issued to; absent: an administrator. */
  readonly service?: string;
}

/** A service whose tokens are refused if they were issued then or before. */
export interface RevokedService {
  readonly appId: string;
  readonly service: string;
  /** Seconds since the epoch: a token whose `iat` is this or less is refused. */
  readonly notBefore: number;
}

/** The claims of the feed: what verifiers read beside the key set. */
export interface RevocationFeed {
  /** With `epoch`, the order of feeds: a verifier refuses one that goes back. */
  readonly generation: number;
  readonly epoch: number;
  /** Each jti with its `exp` in seconds since the epoch. Pairs, as a name can be one that JSON objects must not have. */
  readonly tokens: readonly (readonly [jti: string, exp: number])[];
  /** Each service with the last `iat` that is refused, in seconds since the epoch. */
  readonly services: readonly (readonly [service: string, notBefore: number])[];
  readonly kids: readonly string[];
}

/** How long a revoked key stays in the feed: verifiers may hold an old set for three days. Milliseconds. */
const REVOKED_KEY_LISTED = 7 * 86_400_000;

/**
 * What the feed of one app says at `now`. Pure.
 *
 * @param now milliseconds by the store's clock
 */
export function buildFeed(
  order: { generation: number; epoch: number },
  tokens: readonly RevokedToken[],
  services: readonly RevokedService[],
  keys: readonly SigningKey[],
  now: number,
): RevocationFeed {
  return {
    generation: order.generation,
    epoch: order.epoch,
    tokens: tokens.filter((token) => now < endOf(token)).map((token) => [token.jti, token.expiresAt] as const),
    services: services.map((revoked) => [revoked.service, revoked.notBefore] as const),
    kids: keys.filter((key) => now < endOfListing(key)).map((key) => key.kid),
  };
}

/** The next moment after `now` at which the feed says less by itself. */
export function nextChangeOfFeed(tokens: readonly RevokedToken[], keys: readonly SigningKey[], now: number): number {
  const ends = [...tokens.map(endOf), ...keys.map(endOfListing)];
  return ends.reduce((next, end) => (end > now && end < next ? end : next), Infinity);
}

/** When a revoked token is refused anyway: a verifier may let it live for its tolerance. */
function endOf({ expiresAt }: RevokedToken): number {
  return (expiresAt + LIMITS.clockTolerance) * 1000;
}

function endOfListing({ revokedAt }: SigningKey): number {
  return revokedAt === null ? -Infinity : revokedAt + REVOKED_KEY_LISTED;
}

/**
 * Who signs the feed, so that verifiers can read it at once: a live key that has been published for the lead, and a newer
 * one only where there is no other. Signers come before keys that wait or have retired, then RSA, as some verifiers know
 * no other, then static ones. Keys that only verify never sign.
 */
export function signerOfFeed<K extends SigningKey>(
  keys: readonly K[],
  { lead, algorithms }: RotationPolicy,
  now: number,
): K | undefined {
  const rank = (key: K) => {
    const isKnown = now - key.createdAt >= lead;
    const signs = algorithms.includes(key.algorithm) && signerOf(keys, key.kind, key.algorithm, now) === key;
    return (isKnown ? 0 : 20) + (signs ? 0 : 10) + ALGORITHMS.indexOf(key.algorithm);
  };
  const able = publishedKeys(keys, now).filter((key) => key.sequence >= 1);
  return able.sort((a, b) => rank(a) - rank(b))[0];
}
