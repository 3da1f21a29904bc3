import type { PublicJwk, VerificationKey } from "countersign/protocol";

/** A public key of a service, which signs its client assertions with the private key (RFC 7523 section 2.2). */
export interface ClientKey extends VerificationKey {
  readonly appId: string;
  readonly service: string;
  readonly jwk: PublicJwk;
  /** Milliseconds since the epoch by the store's clock. */
  readonly createdAt: number;
}

/** Keys per service; rotation without downtime needs two. */
export const MAX_CLIENT_KEYS = 10;
