/** What an envelope belongs to; it opens for nothing else. */
export interface SealContext {
  readonly appId: string;
  readonly kid: string;
}

/** A private key as a store keeps it. */
export interface Sealed {
  readonly sealedPrivateKey: Uint8Array;
  /** The master key that it was sealed under. */
  readonly masterKeyId: string;
}

/**
 * Seals private keys before they reach a store. The one implementation is an envelope under master
 * keys held in memory; the methods are asynchronous so that a key management service can be another.
 */
export interface KeyVault {
  /** Names the master key that seals now, without telling anything about it. */
  readonly masterKeyId: string;
  /** Whether what was sealed under a master key can be opened, as far as is known without `reload`. */
  has(masterKeyId: string): boolean;
  seal(plaintext: Uint8Array, context: SealContext): Promise<Sealed>;
  /** @throws where the envelope was changed, belongs to something else, or needs a master key that is not here */
  open(sealed: Uint8Array, context: SealContext & { readonly masterKeyId?: string }): Promise<Uint8Array>;
  /** Looks again where the master keys come from: another process may have made a new one. */
  reload(): Promise<void>;
}
