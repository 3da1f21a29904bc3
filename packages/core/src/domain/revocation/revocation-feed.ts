import { ALGORITHMS, LIMITS } from "countersign/protocol";
import type { RotationPolicy } from "../keys/rotation.ts";
import { publishedKeys, signerOf, type SigningKey } from "../keys/signing-key.ts";

/** A token that is rejected before its `exp`. */
export interface RevokedToken {
  readonly appId: string;
  readonly jti: string;
  /** Its `exp`, seconds since the epoch: the entry is not needed afterwards. */
  readonly expiresAt: number;
  /** The service that revoked its own token; absent: an administrator revoked it. */
  readonly service?: string;
}

/** A service whose tokens are rejected if they were issued at `notBefore` or earlier. */
export interface RevokedService {
  readonly appId: string;
  readonly service: string;
  /** Seconds since the epoch: the highest `iat` that is rejected. */
  readonly notBefore: number;
}

/** The claims of the feed, which verifiers read in addition to the key set. */
export interface RevocationFeed {
  /** Orders the feeds, together with `epoch`: a verifier rejects an older one. */
  readonly generation: number;
  readonly epoch: number;
  /** Each jti with its `exp` in seconds since the epoch. Pairs, because a jti can be unsafe as a property name. */
  readonly tokens: readonly (readonly [jti: string, exp: number])[];
  /** Each service with the highest `iat` that is rejected, in seconds since the epoch. */
  readonly services: readonly (readonly [service: string, notBefore: number])[];
  readonly kids: readonly string[];
}

/** Milliseconds that a revoked key stays in the feed. Verifiers can use an old key set for three days. */
const REVOKED_KEY_LISTED = 7 * 86_400_000;

/**
 * Builds the feed of one app. Pure.
 *
 * @param now milliseconds since the epoch by the store's clock
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

/** Returns the next time after `now` at which an entry of the feed expires. */
export function nextChangeOfFeed(tokens: readonly RevokedToken[], keys: readonly SigningKey[], now: number): number {
  const ends = [...tokens.map(endOf), ...keys.map(endOfListing)];
  return ends.reduce((next, end) => (end > now && end < next ? end : next), Infinity);
}

/** Returns when verifiers reject the token as expired, with their largest clock tolerance. */
function endOf({ expiresAt }: RevokedToken): number {
  return (expiresAt + LIMITS.clockTolerance) * 1000;
}

function endOfListing({ revokedAt }: SigningKey): number {
  return revokedAt === null ? -Infinity : revokedAt + REVOKED_KEY_LISTED;
}

/**
 * Returns the key that signs the feed. Prefers keys that verifiers know: published for the lead time, then active, then
 * RSA, which every verifier supports, then static. Keys imported for verification only never sign.
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
