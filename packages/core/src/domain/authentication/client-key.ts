import type { PublicJwk, VerificationKey } from "countersign/protocol";

/** A public key of a service, which signs its assertions with the private one (RFC 7523 section 2.2). */
export interface ClientKey extends VerificationKey {
  readonly appId: string;
  readonly service: string;
  readonly jwk: PublicJwk;
  /** Milliseconds since the epoch by the store's clock. */
  readonly createdAt: number;
}

/** Keys of one service: two are enough to rotate without downtime. */
export const MAX_CLIENT_KEYS = 10;
