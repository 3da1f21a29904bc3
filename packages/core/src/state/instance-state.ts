import { createHash, type KeyObject } from "node:crypto";
import { isEarlier, type Algorithm, type PublishedJwk } from "countersign/protocol";
import { countIssued, countUnexpired, type IssuedTokens } from "../domain/tokens/issued-tokens.ts";
import {
  buildFeed,
  nextChangeOfFeed,
  signerOfFeed,
  type RevocationFeed,
  type RevokedService,
  type RevokedToken,
} from "../domain/revocation/revocation-feed.ts";
import type { RotationPolicy } from "../domain/keys/rotation.ts";
import { nextChangeOf, publishedKeys, signerOf, type KeyKind } from "../domain/keys/signing-key.ts";
import type { Policy } from "../domain/policy/policy.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { Store, StoredKey, StoreOrder, StoreSnapshot } from "../ports/store.ts";
import { appliedPolicy, type AppliedPolicy } from "./applied-policy.ts";
import { ClientDirectory } from "./client-directory.ts";
import { openPrivateKey } from "../crypto/private-keys.ts";
import { ServiceDirectory } from "./service-directory.ts";
import type { StoreClock } from "./store-clock.ts";

/** A key set, ready to send. */
export interface KeySetDocument {
  readonly keys: readonly PublishedJwk[];
  readonly body: string;
  readonly etag: string;
}

/** Both key sets of an app: some existing clients fail on keys that are not RSA. */
export interface PublishedSets {
  readonly rsa: KeySetDocument;
  readonly all: KeySetDocument;
}

/** The claims of the revocation feed, and the key that signs them. */
export interface SignableFeed {
  readonly claims: RevocationFeed;
  readonly signer: StoredKey | undefined;
}

interface AppKeys {
  readonly keys: readonly StoredKey[];
  readonly tokens: readonly RevokedToken[];
  readonly services: readonly RevokedService[];
  readonly policy: RotationPolicy;
  readonly rotationDue: boolean;
  readonly directory: ServiceDirectory;
  readonly calls: AppliedPolicy | undefined;
  readonly clients: ClientDirectory;
  sets: PublishedSets | undefined;
  setsUntil: number;
  feed: SignableFeed | undefined;
  feedUntil: number;
}

/**
 * The content of the store in memory. Issuing and publishing read nothing else. Replaced as a whole when the epoch has
 * changed.
 */
export class InstanceState {
  readonly #store: Store;
  readonly #vault: KeyVault;
  readonly #clock: StoreClock;
  readonly #policy: RotationPolicy;
  #apps: ReadonlyMap<string, AppKeys> = new Map();
  #epoch = -1;
  #generation = -1;
  #latest: StoreOrder = { epoch: -1, generation: -1 };
  readonly #opened = new Map<string, Promise<KeyObject>>();
  readonly #issued = new Map<string, IssuedTokens>();
  #refreshing: Promise<void> = Promise.resolve();
  /** The queued refresh that all callers share while another one runs. */
  #nextRefresh: Promise<void> | undefined;

  /** @param policy for apps that have no algorithms of their own */
  constructor(store: Store, vault: KeyVault, clock: StoreClock, policy: RotationPolicy) {
    this.#store = store;
    this.#vault = vault;
    this.#clock = clock;
    this.#policy = policy;
  }

  /** Milliseconds since the epoch by the store's clock. */
  now(): number {
    return this.#clock.now();
  }

  /** Milliseconds since the last successful refresh. */
  age(): number {
    return this.#clock.age();
  }

  get epoch(): number {
    return this.#epoch;
  }

  get generation(): number {
    return this.#generation;
  }

  /** The latest state that this instance has seen. Later than the current one only if the store was rolled back. */
  get latest(): StoreOrder {
    return this.#latest;
  }

  appIds(): string[] {
    return [...this.#apps.keys()];
  }

  hasApp(appId: string): boolean {
    return this.#apps.has(appId);
  }

  keysOf(appId: string): readonly StoredKey[] {
    return this.#apps.get(appId)?.keys ?? [];
  }

  /** The rotation policy with an app's algorithms; null: those of the configuration. */
  rotationPolicyWith(algorithms: readonly Algorithm[] | null): RotationPolicy {
    return algorithms === null ? this.#policy : { ...this.#policy, algorithms };
  }

  rotationPolicyOf(appId: string): RotationPolicy {
    return this.#apps.get(appId)?.policy ?? this.#policy;
  }

  /** The service-to-service policy of an app; undefined: none has been applied. */
  callPolicyOf(appId: string): Policy | undefined {
    return this.appliedPolicyOf(appId)?.policy;
  }

  /** The same policy, with its version. */
  appliedPolicyOf(appId: string): AppliedPolicy | undefined {
    return this.#apps.get(appId)?.calls;
  }

  /** Reports whether all active signing keys of the app must be replaced. */
  isRotationDue(appId: string): boolean {
    return this.#apps.get(appId)?.rotationDue ?? false;
  }

  /** Returns the active signing key; undefined for an algorithm that the app does not use. */
  signer(appId: string, kind: KeyKind, algorithm: Algorithm): StoredKey | undefined {
    if (!this.rotationPolicyOf(appId).algorithms.includes(algorithm)) return undefined;
    return signerOf(this.keysOf(appId), kind, algorithm, this.now());
  }

  /** Returns the revocation feed of an app; the same object until the feed or its signing key changes. */
  feedOf(appId: string): SignableFeed | undefined {
    const app = this.#apps.get(appId);
    if (app === undefined) return undefined;
    const now = this.now();
    if (app.feed === undefined || now >= app.feedUntil) {
      const { tokens, services, keys, policy } = app;
      const order = { generation: this.#generation, epoch: this.#epoch };
      app.feed = {
        claims: buildFeed(order, tokens, services, keys, now),
        signer: signerOfFeed(keys, policy, now),
      };
      app.feedUntil = Math.min(nextChangeOf(keys, now), nextChangeOfFeed(tokens, keys, now));
    }
    return app.feed;
  }

  /** The registered services of an app; undefined: app not found. */
  servicesOf(appId: string): ServiceDirectory | undefined {
    return this.#apps.get(appId)?.directory;
  }

  /** The public keys and trusts of the services of an app; undefined: app not found. */
  clientsOf(appId: string): ClientDirectory | undefined {
    return this.#apps.get(appId)?.clients;
  }

  publishedSets(appId: string): PublishedSets | undefined {
    const app = this.#apps.get(appId);
    if (app === undefined) return undefined;
    const now = this.now();
    if (app.sets === undefined || now >= app.setsUntil) {
      const jwks = publishedKeys(app.keys, now).map((key) => key.publicJwk);
      app.sets = { rsa: documentOf(jwks.filter((jwk) => jwk.kty === "RSA")), all: documentOf(jwks) };
      app.setsUntil = nextChangeOf(app.keys, now);
    }
    return app.sets;
  }

  /** Returns a lower bound of the unexpired tokens that this instance has signed with the key since it started. */
  unexpiredHere(key: StoredKey): number {
    return countUnexpired(this.#issued.get(nameOf(key)) ?? new Map(), this.now() / 1000);
  }

  /** @param iat seconds since the epoch, as `exp` */
  countIssued(key: StoredKey, iat: number, exp: number): void {
    const name = nameOf(key);
    const issued = this.#issued.get(name) ?? new Map<number, number>();
    this.#issued.set(name, issued);
    countIssued(issued, iat, exp);
  }

  /** Returns the private key, decrypted once. */
  privateKeyOf(key: StoredKey): Promise<KeyObject> {
    const name = nameOf(key);
    let opened = this.#opened.get(name);
    if (opened === undefined) {
      opened = openPrivateKey(key, this.#vault);
      this.#opened.set(name, opened);
      opened.catch(() => this.#opened.delete(name)); // the vault can become available again
    }
    return opened;
  }

  /**
   * Reads the clock and epoch of the store, and everything else if the epoch has changed. Each refresh starts after it
   * was requested, so it sees the writes of its caller. One runs at a time and at most one is queued, so many callers do
   * not overload a slow store.
   *
   * @throws StoreUnavailable; the content in memory remains
   */
  refresh(): Promise<void> {
    if (this.#nextRefresh === undefined) {
      const begin = () => {
        this.#nextRefresh = undefined;
        return this.#refresh();
      };
      this.#refreshing = this.#nextRefresh = this.#refreshing.then(begin, begin);
    }
    return this.#nextRefresh;
  }

  /** Refreshes after a write by this instance. Ignores errors: the write has succeeded, and the next poll reads it. */
  async catchUp(): Promise<void> {
    await this.refresh().catch(() => {});
  }

  async #refresh(): Promise<void> {
    const askedAt = this.#clock.monotonic();
    const state = await this.#store.readState();
    const respondedAt = this.#clock.monotonic();
    if (state.epoch !== this.#epoch || state.generation !== this.#generation) {
      this.#replace(await this.#store.readSnapshot());
    }
    // Last, so that age() counts from the last refresh that succeeded.
    this.#clock.set(state.now, askedAt, respondedAt);
  }

  #replace(snapshot: StoreSnapshot): void {
    const { epoch, generation, apps, keys, revokedTokens, revokedServices } = snapshot;
    const keysOf = byApp(keys);
    const tokensOf = byApp(revokedTokens);
    const servicesOf = byApp(revokedServices);
    const registeredIn = byApp(snapshot.services);
    const credentialsIn = byApp(snapshot.credentials);
    const policies = snapshot.policies.map((one) => appliedPolicy(one, this.appliedPolicyOf(one.appId)));
    const policyIn = new Map(policies.map((one) => [one.stored.appId, one]));
    const clientKeysIn = byApp(snapshot.clientKeys);
    const trustsIn = byApp(snapshot.trusts);
    const directories = new Map(
      apps.map(({ appId }) => [appId, new ServiceDirectory(registeredIn(appId), credentialsIn(appId))]),
    );
    this.#apps = new Map(
      apps.map(({ appId, algorithms, rotationDue }) => [
        appId,
        {
          keys: keysOf(appId),
          tokens: tokensOf(appId),
          services: servicesOf(appId),
          policy: this.rotationPolicyWith(algorithms),
          rotationDue,
          directory: directories.get(appId)!,
          calls: policyIn.get(appId),
          clients: new ClientDirectory(directories.get(appId)!, clientKeysIn(appId), trustsIn(appId)),
          sets: undefined,
          setsUntil: 0,
          feed: undefined,
          feedUntil: 0,
        },
      ]),
    );
    this.#epoch = epoch;
    this.#generation = generation;
    if (isEarlier(this.#latest, { epoch, generation })) this.#latest = { epoch, generation };
    const present = new Set(keys.map(nameOf));
    for (const known of [this.#opened, this.#issued]) {
      for (const name of known.keys()) if (!present.has(name)) known.delete(name);
    }
  }
}

function byApp<T extends { readonly appId: string }>(rows: readonly T[]): (appId: string) => readonly T[] {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(row.appId);
    if (group === undefined) groups.set(row.appId, [row]);
    else group.push(row);
  }
  return (appId) => groups.get(appId) ?? [];
}

/** Identifies a key by its public key: a kid can belong to another key after an app was deleted and created again. */
function nameOf(key: StoredKey): string {
  let name = NAMES.get(key);
  if (name === undefined) {
    name = `${key.appId} ${JSON.stringify(key.publicJwk)}`;
    NAMES.set(key, name);
  }
  return name;
}

/** Cached, because every token needs its key's name. */
const NAMES = new WeakMap<StoredKey, string>();

function documentOf(keys: readonly PublishedJwk[]): KeySetDocument {
  const body = JSON.stringify({ keys });
  return { keys, body, etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"` };
}
