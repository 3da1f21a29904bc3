/** The key that an encrypted private key belongs to; it can be decrypted for no other. */
export interface SealContext {
  readonly appId: string;
  readonly kid: string;
}

/** A private key as it is stored. */
export interface Sealed {
  readonly sealedPrivateKey: Uint8Array;
  /** The master key that it was encrypted with. */
  readonly masterKeyId: string;
}

/**
 * Encrypts private keys before they are stored. The default encrypts with master keys held in memory; a key management
 * service (KMS) can replace it as `vault` of `startCore`. An implementation must:
 *
 * - **Bind.** Decrypt an envelope only for the app and kid that it was encrypted for, so that an attacker who can write to
 *   the database cannot swap rows. A KMS calls this encryption context or associated data.
 * - **Name.** `masterKeyId` identifies the master key, and its version, that `seal` uses now. It is stored with each
 *   envelope and appears in logs and errors, so it must not be secret. `masterKeyId` and `has` respond from memory,
 *   without a network call. `has` returns true for every master key that this instance can use: a core refuses to start
 *   on a store that needs another one.
 * - **Share.** Every instance on a store decrypts what any other has encrypted, also while master keys change.
 * - **Be quick.** `seal` runs when a key is generated, and `open` once per key and instance, before the key signs: tokens
 *   wait for neither. `reload`, and in `countersign keys reseal` also `seal` and `open`, run under the store's lock, for
 *   which other writers wait up to 5 s.
 * - **Recover.** If the service is unavailable, methods reject and are called again later; failures are not cached.
 * - **Release.** The caller owns, and overwrites, the bytes that it passes to `seal` and that `open` returns.
 */
export interface KeyVault {
  /** Identifies the current master key; not secret. */
  readonly masterKeyId: string;
  /** Reports whether this instance has the master key, without calling `reload`. */
  has(masterKeyId: string): boolean;
  seal(plaintext: Uint8Array, context: SealContext): Promise<Sealed>;
  /** @throws if the envelope was modified, belongs to another key, or needs a master key that is missing */
  open(sealed: Uint8Array, context: SealContext & { readonly masterKeyId: string }): Promise<Uint8Array>;
  /** Reads the master keys again, because another process might have generated a new one. */
  reload(): Promise<void>;
}
