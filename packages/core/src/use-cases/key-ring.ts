import { createHash, type KeyObject } from "node:crypto";
import type { PublishedJwk } from "countersign/protocol";
import { nextChangeOf, publishedKeys, signerOf, type KeyKind } from "../domain/signing-key.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { Store, StoredKey, StoreSnapshot } from "../ports/store.ts";
import { openPrivateKey } from "./private-keys.ts";
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

interface AppKeys {
  readonly keys: readonly StoredKey[];
  sets: PublishedSets | undefined;
  setsUntil: number;
}

/**
 * What an instance knows of the store, in memory: issuing and publishing read nothing else. It is
 * replaced whole when the epoch has grown.
 */
export class KeyRing {
  readonly #store: Store;
  readonly #vault: KeyVault;
  readonly #clock: StoreClock;
  #apps: ReadonlyMap<string, AppKeys> = new Map();
  #epoch = -1;
  #generation = -1;
  readonly #opened = new Map<string, Promise<KeyObject>>();
  #refreshing: Promise<void> = Promise.resolve();

  constructor(store: Store, vault: KeyVault, clock: StoreClock) {
    this.#store = store;
    this.#vault = vault;
    this.#clock = clock;
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

  appIds(): string[] {
    return [...this.#apps.keys()];
  }

  hasApp(appId: string): boolean {
    return this.#apps.has(appId);
  }

  keysOf(appId: string): readonly StoredKey[] {
    return this.#apps.get(appId)?.keys ?? [];
  }

  signer(appId: string, kind: KeyKind, algorithm: string): StoredKey | undefined {
    return signerOf(this.keysOf(appId), kind, algorithm, this.now());
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

  /** The private key, opened once. A kid means one key for ever, so nothing that happens to a row changes it. */
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
   * Asks the store for its clock and epoch, and reads everything if the epoch has changed. One at a time;
   * each begins after it was asked for, so it sees what the asker wrote.
   *
   * @throws StoreUnavailable; what is in memory stays
   */
  refresh(): Promise<void> {
    const before = this.#refreshing;
    this.#refreshing = before.then(
      () => this.#refresh(),
      () => this.#refresh(),
    );
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    const askedAt = this.#clock.monotonic();
    const state = await this.#store.readState();
    if (state.epoch !== this.#epoch || state.generation !== this.#generation) {
      this.#replace(await this.#store.readSnapshot());
    }
    // Last: what is in memory is as fresh as the last refresh that got all the way.
    this.#clock.set(state.now, askedAt);
  }

  #replace({ epoch, generation, appIds, keys }: StoreSnapshot): void {
    const apps = new Map<string, StoredKey[]>(appIds.map((appId) => [appId, []]));
    for (const key of keys) apps.get(key.appId)?.push(key);
    this.#apps = new Map([...apps].map(([appId, own]) => [appId, { keys: own, sets: undefined, setsUntil: 0 }]));
    this.#epoch = epoch;
    this.#generation = generation;
    const present = new Set(keys.map(nameOf));
    for (const name of this.#opened.keys()) if (!present.has(name)) this.#opened.delete(name);
  }
}

function nameOf({ appId, kid }: StoredKey): string {
  return `${appId}/${kid}`;
}

function documentOf(keys: readonly PublishedJwk[]): KeySetDocument {
  const body = JSON.stringify({ keys });
  return { keys, body, etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"` };
}
