import {
  decodeJwt,
  isRevoked,
  mistypedClaim,
  readRevocations,
  type DecodedJwt,
  type JsonObject,
  type Revocations,
} from "countersign/protocol";
import type { RevocationFeed } from "../../domain/revocation/revocation-feed.ts";
import { isLive } from "../../domain/keys/signing-key.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import { verifiesUnder } from "../../crypto/jws.ts";

/** Returns the decoded token if a key of the app signed it and that key has neither expired nor been revoked. */
export function readOwnToken(state: InstanceState, appId: string, token: string): DecodedJwt | undefined {
  const decoded = decodeJwt(token);
  if (!decoded.ok) return undefined;
  const { header, algorithm, signingInput, signature, claims } = decoded.jwt;
  const key = state.keysOf(appId).find((one) => one.kid === header.kid);
  if (key === undefined || key.algorithm !== algorithm || !isLive(key, state.now())) return undefined;
  return verifiesUnder(key, signingInput, signature) && mistypedClaim(claims) === undefined ? decoded.jwt : undefined;
}

/**
 * Returns the claims of a valid token of the app (RFC 7662), or `inactive` if the token is invalid for any reason. Reads
 * revocations from memory, not from the store. Returns `unknown` if the state in memory is too old.
 */
export type Introspect = (appId: string, token: string) => JsonObject | "inactive" | "unknown";

/** @param maxRingAge how long the state in memory is trusted while the store is unavailable, in milliseconds, as for issuing */
export function createIntrospect(state: InstanceState, maxRingAge: number): Introspect {
  /** Parsed feeds. The feed object stays the same until something is revoked. */
  const read = new WeakMap<RevocationFeed, Revocations>();
  const revocationsOf = (appId: string) => {
    const claims = state.feedOf(appId)!.claims;
    const known = read.get(claims) ?? readRevocations({ ...claims })!;
    read.set(claims, known);
    return known;
  };
  return (appId, token) => {
    if (state.age() > maxRingAge) return "unknown";
    const jwt = readOwnToken(state, appId, token);
    if (jwt === undefined || isRevoked(revocationsOf(appId), jwt.header.kid, jwt.claims)) return "inactive";
    const { exp = 0, nbf = 0 } = jwt.claims as { exp?: number; nbf?: number };
    const now = state.now() / 1000;
    return nbf <= now && now < exp ? jwt.claims : "inactive";
  };
}
