import type { SigningKey } from "../domain/signing-key.ts";

/** A signing key as it is stored: its private part only as an envelope that the key vault opens. */
export interface StoredKey extends SigningKey {
  readonly sealedPrivateKey: Uint8Array;
  /** Which master key the envelope needs. */
  readonly masterKeyId: string;
}

export interface StoreState {
  /** Grows with every change to keys and apps; how instances notice. */
  readonly epoch: number;
  /** Grows when a store is restored from a backup: an epoch of an older generation means nothing. */
  readonly generation: number;
  /** The store's clock, milliseconds since the epoch. */
  readonly now: number;
}

/** Everything an instance keeps in memory, read at one moment. */
export interface StoreSnapshot extends StoreState {
  readonly appIds: readonly string[];
  readonly keys: readonly StoredKey[];
}

/** What can be done inside one transaction. */
export interface StoreWriter {
  /** The store's clock when the transaction began. */
  readonly now: number;
  hasApp(appId: string): Promise<boolean>;
  insertApp(appId: string): Promise<void>;
  /** Removes the app with all its keys. @returns whether it existed */
  deleteApp(appId: string): Promise<boolean>;
  keysOf(appId: string): Promise<StoredKey[]>;
  insertKey(key: StoredKey): Promise<void>;
  deleteKey(appId: string, kid: string): Promise<void>;
}

/** Where a core keeps what must outlive it. Every method may reject with StoreUnavailable. */
export interface Store {
  /** Cheap: called every second. */
  readState(): Promise<StoreState>;
  readSnapshot(): Promise<StoreSnapshot>;
  /** Runs `work` in one transaction that no other writer overlaps; the epoch grows if it changed anything. */
  write<T>(work: (writer: StoreWriter) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** The store cannot be used now: locked, full, or away. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}
