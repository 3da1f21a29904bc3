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

/** A key set, ready to be sent. */
export interface KeySetDocument {
  readonly keys: readonly PublishedJwk[];
  readonly body: string;
  readonly etag: string;
}

/** Both sets of an app: existing clients break on a member that is not RSA. */
export interface PublishedSets {
  readonly rsa: KeySetDocument;
  readonly all: KeySetDocument;
}

/** What the feed of an app says, and who is to sign it. */
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
 * What an instance knows of the store, in memory: issuing and publishing read nothing else. It is
 * replaced whole when the epoch has grown.
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
  /** The one that comes after it, for everybody who has asked meanwhile. */
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

  /** Milliseconds since the store was last heard of. */
  age(): number {
    return this.#clock.age();
  }

  get epoch(): number {
    return this.#epoch;
  }

  get generation(): number {
    return this.#generation;
  }

  /** The latest state that this instance has seen; later than what it has now only where the store went back. */
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

  /** The policy of an app with these algorithms; null: it has none of its own. */
  rotationPolicyWith(algorithms: readonly Algorithm[] | null): RotationPolicy {
    return algorithms === null ? this.#policy : { ...this.#policy, algorithms };
  }

  /** When the keys of an app change, and what it signs with. */
  rotationPolicyOf(appId: string): RotationPolicy {
    return this.#apps.get(appId)?.policy ?? this.#policy;
  }

  /** Who may call whom in an app; undefined: no policy has been applied. */
  callPolicyOf(appId: string): Policy | undefined {
    return this.appliedPolicyOf(appId)?.policy;
  }

  /** The same with its version, as it is stored. */
  appliedPolicyOf(appId: string): AppliedPolicy | undefined {
    return this.#apps.get(appId)?.calls;
  }

  /** Whether every signer of the app is to be replaced. */
  isRotationDue(appId: string): boolean {
    return this.#apps.get(appId)?.rotationDue ?? false;
  }

  /** The key that signs now; undefined for an algorithm that the app does not sign with. */
  signer(appId: string, kind: KeyKind, algorithm: Algorithm): StoredKey | undefined {
    if (!this.rotationPolicyOf(appId).algorithms.includes(algorithm)) return undefined;
    return signerOf(this.keysOf(appId), kind, algorithm, this.now());
  }

  /** What verifiers of an app's tokens have to refuse; the same object until that or its signer changes. */
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

  /** The registered services of an app; undefined: there is no such app. */
  servicesOf(appId: string): ServiceDirectory | undefined {
    return this.#apps.get(appId)?.directory;
  }

  /** How the services of an app prove who they are without a secret; undefined: there is no such app. */
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

  /** How many unexpired tokens this instance has signed with the key since it started; never more than there are. */
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

  /** The private key, opened once. */
  privateKeyOf(key: StoredKey): Promise<KeyObject> {
    const name = nameOf(key);
    let opened = this.#opened.get(name);
    if (opened === undefined) {
      opened = openPrivateKey(key, this.#vault);
      this.#opened.set(name, opened);
      opened.catch(() => this.#opened.delete(name)); // a vault that is away may come back
    }
    return opened;
  }

  /**
   * Asks the store for its clock and epoch, and reads everything if the epoch has changed. One at a time; each begins
   * after it was asked for, so it sees what the asker wrote. However many ask, at most one waits: a slow store with a
   * busy neighbour is not asked the same a hundred times.
   *
   * @throws StoreUnavailable; what is in memory stays
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

  /**
   * After a change of one's own. It is done, and not undone by a store that cannot be read at this moment: the next look
   * reads what is new.
   */
  async catchUp(): Promise<void> {
    await this.refresh().catch(() => {});
  }

  async #refresh(): Promise<void> {
    const askedAt = this.#clock.monotonic();
    const state = await this.#store.readState();
    const answeredAt = this.#clock.monotonic();
    if (state.epoch !== this.#epoch || state.generation !== this.#generation) {
      this.#replace(await this.#store.readSnapshot());
    }
    // Last: what is in memory is as fresh as the last refresh that got all the way.
    this.#clock.set(state.now, askedAt, answeredAt);
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

/** An app that was removed and made again may give a kid to another key, so the name is that of the public part. */
function nameOf(key: StoredKey): string {
  let name = NAMES.get(key);
  if (name === undefined) {
    name = `${key.appId} ${JSON.stringify(key.publicJwk)}`;
    NAMES.set(key, name);
  }
  return name;
}

/** Asked for with every token. */
const NAMES = new WeakMap<StoredKey, string>();

function documentOf(keys: readonly PublishedJwk[]): KeySetDocument {
  const body = JSON.stringify({ keys });
  return { keys, body, etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"` };
}
