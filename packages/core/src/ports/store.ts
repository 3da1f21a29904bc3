import type { Algorithm } from "countersign/protocol";
import type { ClientKey } from "../domain/authentication/client-key.ts";
import type { Credential, CredentialUse } from "../domain/authentication/credential.ts";
import type { KeyDates } from "../domain/keys/key-change.ts";
import type { ReportedCall } from "../domain/policy/policy-report.ts";
import type { RevokedService, RevokedToken } from "../domain/revocation/revocation-feed.ts";
import type { RotationPolicy } from "../domain/keys/rotation.ts";
import type { Service } from "../domain/services/service.ts";
import type { SigningKey } from "../domain/keys/signing-key.ts";
import type { WorkloadTrust } from "../domain/authentication/workload-trust.ts";

/** A signing key as it is stored: the private key is encrypted by the key vault. */
export interface StoredKey extends SigningKey {
  readonly sealedPrivateKey: Uint8Array;
  /** The master key that decrypts it. */
  readonly masterKeyId: string;
}

/** The order of a store's states: by generation, then by epoch. */
export interface StoreOrder {
  /** Grows with every change that instances keep in memory; this is how they notice it. */
  readonly epoch: number;
  /** Grows when a store is restored from a backup: epochs of an older generation no longer count. */
  readonly generation: number;
}

export interface StoreState extends StoreOrder {
  /** The store's clock, milliseconds since the epoch. */
  readonly now: number;
}

export interface StoredApp {
  readonly appId: string;
  /** Milliseconds since the epoch by the store's clock. */
  readonly createdAt: number;
  /** Signing algorithms; null: those of the core's configuration. */
  readonly algorithms: readonly Algorithm[] | null;
  /** Whether every active signing key must be replaced: after a restore, it is unknown which keys have leaked. */
  readonly rotationDue: boolean;
}

/** An entry of a policy's version history. */
export interface PolicyVersion {
  readonly appId: string;
  /** Counts from 1 in its app; the highest is current. */
  readonly version: number;
  readonly appliedAt: number;
  /** The administrator's name, given or derived from the admin key. */
  readonly appliedBy: string;
}

export interface StoredPolicy extends PolicyVersion {
  /** A PolicyDocument as JSON. */
  readonly document: string;
}

/** What can be written to an empty store. */
export interface StoreContent {
  readonly apps: readonly Omit<StoredApp, "rotationDue">[];
  readonly keys: readonly StoredKey[];
  readonly revokedTokens: readonly RevokedToken[];
  readonly revokedServices: readonly RevokedService[];
  readonly services: readonly Service[];
  readonly credentials: readonly Credential[];
  /** Every version of every app. */
  readonly policyVersions: readonly StoredPolicy[];
  readonly clientKeys: readonly ClientKey[];
  readonly trusts: readonly WorkloadTrust[];
}

/** Everything an instance keeps in memory, read atomically. */
export interface StoreSnapshot extends StoreState, Omit<StoreContent, "policyVersions"> {
  readonly apps: readonly StoredApp[];
  /** The current policy of each app. */
  readonly policies: readonly StoredPolicy[];
  /** The rotation policy of the core that started last on this store; undefined: none has started yet. */
  readonly rotation: RotationPolicy | undefined;
}

export interface Revocations {
  readonly tokens: readonly RevokedToken[];
  readonly services: readonly RevokedService[];
}

export interface AppWriter {
  list(): Promise<StoredApp[]>;
  find(appId: string): Promise<StoredApp | undefined>;
  /** Created now, with the algorithms of the core's configuration. */
  insert(appId: string): Promise<void>;
  setAlgorithms(appId: string, algorithms: readonly Algorithm[] | null): Promise<void>;
  /** Records that the app's active signing keys have been replaced. */
  endRotationDue(appId: string): Promise<void>;
  /** Deletes the app and everything in it. @returns whether it existed */
  delete(appId: string): Promise<boolean>;
}

export interface KeyWriter {
  /** Sorted by sequence. */
  listIn(appId: string): Promise<StoredKey[]>;
  insert(key: StoredKey): Promise<void>;
  delete(appId: string, kid: string): Promise<void>;
  /** @throws RangeError for a date that would move later */
  update(appId: string, kid: string, dates: KeyDates): Promise<void>;
  /** Replaces the encrypted private key by the same key, encrypted with another master key. */
  reseal(appId: string, kid: string, sealedPrivateKey: Uint8Array, masterKeyId: string): Promise<void>;
}

export interface RevocationWriter {
  listIn(appId: string): Promise<Revocations>;
  /** A later `exp` replaces an earlier one, but not the reverse: several tokens can share a jti. */
  upsertToken(revoked: RevokedToken): Promise<void>;
  /** Deletes entries of expired tokens in all apps. @param now seconds since the epoch */
  deleteExpiredTokens(now: number): Promise<void>;
  /** A later `notBefore` replaces an earlier one, but not the reverse. */
  upsertService(revoked: RevokedService): Promise<void>;
}

export interface ServiceWriter {
  find(appId: string, name: string): Promise<Service | undefined>;
  count(appId: string): Promise<number>;
  names(appId: string): Promise<ReadonlySet<string>>;
  /** Registered now. */
  insert(appId: string, name: string): Promise<Service>;
  setDisabled(appId: string, name: string, disabledAt: number | null): Promise<void>;
  /** Deletes the service and its credentials. @returns whether it existed */
  delete(appId: string, name: string): Promise<boolean>;
  /** Sorted by creation. */
  credentialsOf(appId: string, name: string): Promise<Credential[]>;
  insertCredential(credential: Credential): Promise<void>;
  /** @returns whether it existed */
  deleteCredential(appId: string, name: string, id: string): Promise<boolean>;
  /** A later time replaces an earlier one, but not the reverse. Does not change the epoch. */
  noteUses(uses: readonly CredentialUse[]): Promise<void>;
}

export interface PolicyWriter {
  current(appId: string): Promise<StoredPolicy | undefined>;
  /** Inserts the next version, applied now. */
  insert(appId: string, document: string, appliedBy: string): Promise<StoredPolicy>;
  reportedIn(appId: string): Promise<ReportedCall[]>;
  /** Replaces all reported calls of the app. Does not change the epoch. */
  replaceReported(appId: string, calls: readonly ReportedCall[]): Promise<void>;
}

/** Writes the public keys of services and the trusted workload identities. */
export interface ClientWriter {
  /** Replaces all keys of the service. */
  replaceKeys(appId: string, service: string, keys: readonly ClientKey[]): Promise<void>;
  trustsIn(appId: string): Promise<WorkloadTrust[]>;
  insertTrust(trust: WorkloadTrust): Promise<void>;
  /** @returns whether it existed */
  deleteTrust(appId: string, id: string): Promise<boolean>;
}

/** The use of something that can be used once. */
export interface OneUse {
  readonly appId: string;
  readonly digest: string;
  /** Seconds since the epoch until which the use must be remembered. */
  readonly until: number;
}

/** Reads and writes within one transaction. */
export interface StoreWriter {
  /** The store's clock when the transaction began. */
  readonly now: number;
  readonly apps: AppWriter;
  readonly keys: KeyWriter;
  readonly revocations: RevocationWriter;
  readonly services: ServiceWriter;
  readonly policies: PolicyWriter;
  readonly clients: ClientWriter;
  /** The order of the store before this transaction, for comparisons under the lock. */
  order(): Promise<StoreOrder>;
  /**
   * Starts a new generation after a restore and marks the rotation of every app as due. The generation is the time in
   * seconds if that is higher than the last one, so that two restores of one backup get different generations.
   *
   * @param above a generation that was seen elsewhere and must not be reused
   * @returns the new generation
   */
  raiseGeneration(above?: number): Promise<number>;
  /** Does not change the epoch. */
  setRotation(rotation: RotationPolicy): Promise<void>;
  /** Replaces all apps and everything in them. */
  replaceContent(content: StoreContent): Promise<void>;
}

/** A core's persistent storage. Every method can reject with StoreUnavailable. */
export interface Store {
  /** Cheap, because it is called every second. */
  readState(): Promise<StoreState>;
  readSnapshot(): Promise<StoreSnapshot>;
  /** Sorted by creation, with the last use, which snapshots can miss because it does not change the epoch. */
  readCredentials(appId: string, service: string): Promise<Credential[]>;
  /** Reads everything a backup needs atomically. */
  readContent(): Promise<StoreState & StoreContent>;
  /** Newest first. */
  readPolicyVersions(appId: string): Promise<PolicyVersion[]>;
  readPolicy(appId: string, version: number): Promise<StoredPolicy | undefined>;
  readReported(appId: string): Promise<ReportedCall[]>;
  /**
   * Records uses in a single statement. It does not queue for the writers' lock, because requests of services cause it
   * and must not delay administration. Does not change the epoch.
   *
   * @returns for each use, whether it is the first
   */
  useOnce(uses: readonly OneUse[]): Promise<boolean[]>;
  /** Deletes uses whose `until` has passed. @returns how many */
  forgetUsed(): Promise<number>;
  /** Runs `work` in one transaction while no other writer runs. The epoch grows if `work` changed anything. */
  write<T>(work: (writer: StoreWriter) => Promise<T>): Promise<T>;
  /**
   * Calls back when another instance might have changed something, if the engine supports notifications. Poll as well,
   * because notifications can be missed.
   *
   * @returns a function that stops it
   */
  watch(listener: () => void): () => void;
  /** Milliseconds between polls of `readState`. */
  readonly pollInterval: number;
  close(): Promise<void>;
}

/** The store is unavailable: locked, full or unreachable. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}
