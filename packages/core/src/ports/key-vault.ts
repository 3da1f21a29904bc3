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
 * Seals private keys before they reach a store. Ours is an envelope under master keys held in memory; a key management
 * service (KMS) can be another, given to `startCore` as `vault`. What an implementation has to hold:
 *
 * - **Bound.** An envelope opens for the app and kid that it was sealed for, and for no other: whoever can write to the
 *   database cannot swap rows. A KMS calls this encryption context or associated data.
 * - **Named.** `masterKeyId` names the key, and its version, that `seal` uses now; it is stored with each envelope and
 *   shown in logs and errors, so it tells nothing. Both it and `has` answer from memory, without a network call. `has`
 *   answers true for whatever this instance may open: a core refuses to start on a store that needs another one.
 * - **Shared.** Every instance of a store opens what any other has sealed, also while master keys change.
 * - **Quick.** `seal` is called when a key is made, and `open` once per key and instance, ahead of its turn: issuing
 *   waits for neither. But `reload`, and for `countersign keys reseal` both others, are called under the store's lock,
 *   which others wait 5 s for.
 * - **Passing.** Where the service is away, a method rejects and is asked again later; nothing of it is remembered.
 * - **Forgetful.** The bytes that `seal` is given and those that `open` returns are the caller's, who overwrites them.
 */
export interface KeyVault {
  /** Names the master key that seals now, without telling anything about it. */
  readonly masterKeyId: string;
  /** Whether what was sealed under a master key can be opened, as far as is known without `reload`. */
  has(masterKeyId: string): boolean;
  seal(plaintext: Uint8Array, context: SealContext): Promise<Sealed>;
  /** @throws where the envelope was changed, belongs to something else, or needs a master key that is not here */
  open(sealed: Uint8Array, context: SealContext & { readonly masterKeyId: string }): Promise<Uint8Array>;
  /** Looks again where the master keys come from: another process may have made a new one. */
  reload(): Promise<void>;
}
