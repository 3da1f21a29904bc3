/** What an envelope belongs to; it opens for nothing else. */
export interface SealContext {
  readonly appId: string;
  readonly kid: string;
}

/**
 * Seals private keys before they reach a store. The one implementation is an envelope under a master
 * key held in memory; the methods are asynchronous so that a key management service can be another.
 */
export interface KeyVault {
  /** Names the master key in use, without telling anything about it. */
  readonly masterKeyId: string;
  seal(plaintext: Uint8Array, context: SealContext): Promise<Uint8Array>;
  /** @throws where the envelope was changed, belongs to something else, or needs another master key */
  open(sealed: Uint8Array, context: SealContext): Promise<Uint8Array>;
}
