import { LIMITS } from "countersign/protocol";
import type { SigningKey } from "./signing-key.ts";

/** A token that is refused although its `exp` has not come. */
export interface RevokedToken {
  readonly appId: string;
  readonly jti: string;
  /** Its `exp`, seconds since the epoch: after that it needs no refusing. */
  readonly expiresAt: number;
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
  const tolerated = Math.floor(now / 1000) - LIMITS.clockTolerance; // a verifier may let a token live so much longer
  const unexpired = tokens.filter((token) => token.expiresAt > tolerated);
  return {
    generation: order.generation,
    epoch: order.epoch,
    tokens: unexpired.map((token) => [token.jti, token.expiresAt] as const),
    services: services.map((revoked) => [revoked.service, revoked.notBefore] as const),
    kids: keys.filter((key) => isListed(key, now)).map((key) => key.kid),
  };
}

/** Whether the feed names the key, and so its row must stay. */
export function isListed(key: SigningKey, now: number): boolean {
  return key.revokedAt !== null && now < key.revokedAt + REVOKED_KEY_LISTED;
}
