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

/** A signing key as it is stored: its private part only as an envelope that the key vault opens. */
export interface StoredKey extends SigningKey {
  readonly sealedPrivateKey: Uint8Array;
  /** Which master key the envelope needs. */
  readonly masterKeyId: string;
}

/** Which of two states of a store is the later one: the generation decides, then the epoch. */
export interface StoreOrder {
  /** Grows with every change to keys and apps; how instances notice. */
  readonly epoch: number;
  /** Grows when a store is restored from a backup: an epoch of an older generation means nothing. */
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
  /** What the app signs with; null: what the core is configured to. */
  readonly algorithms: readonly Algorithm[] | null;
  /** Whether every signer is to be replaced: nobody knows who has seen which key of a store that was restored. */
  readonly rotationDue: boolean;
}

/** What is told of each policy that was ever applied. */
export interface PolicyVersion {
  readonly appId: string;
  /** 1, 2, 3 ... in its app; the last one is in force. */
  readonly version: number;
  readonly appliedAt: number;
  /** Who did it, as the core knew it or was told. */
  readonly appliedBy: string;
}

export interface StoredPolicy extends PolicyVersion {
  /** A PolicyDocument as JSON. */
  readonly document: string;
}

/** What can be put into a store that is empty. */
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

/** Everything an instance keeps in memory, read at one moment. */
export interface StoreSnapshot extends StoreState, Omit<StoreContent, "policyVersions"> {
  readonly apps: readonly StoredApp[];
  /** Of each app the one in force. */
  readonly policies: readonly StoredPolicy[];
  /** What the cores on this store go by, as the last one of them to start has it; undefined: none has said so. */
  readonly rotation: RotationPolicy | undefined;
}

export interface Revocations {
  readonly tokens: readonly RevokedToken[];
  readonly services: readonly RevokedService[];
}

/** What can be done to services inside one transaction. */
export interface ServiceWriter {
  find(appId: string, name: string): Promise<Service | undefined>;
  count(appId: string): Promise<number>;
  names(appId: string): Promise<ReadonlySet<string>>;
  /** Registered now. */
  insert(appId: string, name: string): Promise<Service>;
  setDisabled(appId: string, name: string, disabledAt: number | null): Promise<void>;
  /** Removes the service with its credentials. @returns whether it existed */
  delete(appId: string, name: string): Promise<boolean>;
  /** As they were made. */
  credentialsOf(appId: string, name: string): Promise<Credential[]>;
  insertCredential(credential: Credential): Promise<void>;
  /** @returns whether it existed */
  deleteCredential(appId: string, name: string, id: string): Promise<boolean>;
  /**
   * A later moment replaces an earlier one, never the other way round. Nothing that instances go by, so the epoch stays.
   */
  noteUses(uses: readonly CredentialUse[]): Promise<void>;
}

/** What can be done to policies inside one transaction. */
export interface PolicyWriter {
  /** The one in force. */
  current(appId: string): Promise<StoredPolicy | undefined>;
  /** The next version, applied now. */
  insert(appId: string, document: string, appliedBy: string): Promise<StoredPolicy>;
  reportedIn(appId: string): Promise<ReportedCall[]>;
  /** In the place of all that were reported in the app. Nothing that instances keep in memory, so the epoch stays. */
  replaceReported(appId: string, calls: readonly ReportedCall[]): Promise<void>;
}

/** What can be done to the keys and trusts of services inside one transaction. */
export interface ClientWriter {
  /** In the place of all that the service has. */
  replaceKeys(appId: string, service: string, keys: readonly ClientKey[]): Promise<void>;
  trustsIn(appId: string): Promise<WorkloadTrust[]>;
  insertTrust(trust: WorkloadTrust): Promise<void>;
  /** @returns whether it existed */
  deleteTrust(appId: string, id: string): Promise<boolean>;
}

/** Of something that is good for one. */
export interface OneUse {
  readonly appId: string;
  readonly digest: string;
  /** Seconds since the epoch until which it has to be remembered. */
  readonly until: number;
}

/** What can be done inside one transaction. */
export interface StoreWriter {
  /** The store's clock when the transaction began. */
  readonly now: number;
  /** Where the store is before this transaction; it is compared under the lock. */
  order(): Promise<StoreOrder>;
  apps(): Promise<StoredApp[]>;
  app(appId: string): Promise<StoredApp | undefined>;
  /** Made now, signing with what the core is configured to. */
  insertApp(appId: string): Promise<void>;
  setAlgorithms(appId: string, algorithms: readonly Algorithm[] | null): Promise<void>;
  /** The app's signers have been replaced. */
  endRotationDue(appId: string): Promise<void>;
  /** Removes the app with all its keys. @returns whether it existed */
  deleteApp(appId: string): Promise<boolean>;
  keysOf(appId: string): Promise<StoredKey[]>;
  insertKey(key: StoredKey): Promise<void>;
  deleteKey(appId: string, kid: string): Promise<void>;
  /** @throws RangeError for a date that would move later */
  updateKey(appId: string, kid: string, dates: KeyDates): Promise<void>;
  /** The same private key under another master key. */
  resealKey(appId: string, kid: string, sealedPrivateKey: Uint8Array, masterKeyId: string): Promise<void>;
  /** What is revoked in one app. */
  revocationsOf(appId: string): Promise<Revocations>;
  /** A later `exp` replaces an earlier one, never the other way round: several tokens may have one jti. */
  upsertRevokedToken(revoked: RevokedToken): Promise<void>;
  /** Forgets revoked tokens that have expired. @param now seconds since the epoch */
  deleteExpiredTokens(now: number): Promise<void>;
  /** A later moment replaces an earlier one, never the other way round. */
  upsertRevokedService(revoked: RevokedService): Promise<void>;
  /**
   * After a restore: what others remember of a later epoch means nothing any more. The new generation is the time in
   * seconds, or else the next number, so that two restores of one backup do not come to the same. From then on every
   * app's rotation is due.
   *
   * @param above a generation that was seen elsewhere, and must not come again
   * @returns the new one
   */
  raiseGeneration(above?: number): Promise<number>;
  /** Nothing that instances keep in memory, so the epoch stays. */
  setRotation(rotation: RotationPolicy): Promise<void>;
  /** Puts all of it in the place of every app with all that belongs to it. */
  replaceContent(content: StoreContent): Promise<void>;
  readonly services: ServiceWriter;
  readonly policies: PolicyWriter;
  readonly clients: ClientWriter;
}

/** Where a core keeps what must outlive it. Every method may reject with StoreUnavailable. */
export interface Store {
  /** Cheap: called every second. */
  readState(): Promise<StoreState>;
  readSnapshot(): Promise<StoreSnapshot>;
  /** As they were made, with what no epoch tells of: when they were used. */
  readCredentials(appId: string, service: string): Promise<Credential[]>;
  /** All that a backup needs, with what no instance keeps in memory; read at one moment, too. */
  readContent(): Promise<StoreState & StoreContent>;
  /** What was ever applied in an app, newest first. */
  readPolicyVersions(appId: string): Promise<PolicyVersion[]>;
  readPolicy(appId: string, version: number): Promise<StoredPolicy | undefined>;
  readReported(appId: string): Promise<ReportedCall[]>;
  /**
   * Remembers uses in one statement of its own: services cause it, and must not keep administration waiting, so it takes
   * no turn among the writers. Nothing that instances keep in memory, so the epoch stays.
   *
   * @returns of each whether it is the first
   */
  useOnce(uses: readonly OneUse[]): Promise<boolean[]>;
  /** Forgets uses that need no remembering any more. @returns how many */
  forgetUsed(): Promise<number>;
  /** Runs `work` in one transaction that no other writer overlaps; the epoch grows if it changed anything. */
  write<T>(work: (writer: StoreWriter) => Promise<T>): Promise<T>;
  /**
   * Calls back when another instance may have changed something, where the engine can tell; a poll stands behind it.
   *
   * @returns stops it
   */
  watch(listener: () => void): () => void;
  /** Milliseconds between looks at `readState`. */
  readonly lookEvery: number;
  close(): Promise<void>;
}

/** The store cannot be used now: locked, full, or away. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}
