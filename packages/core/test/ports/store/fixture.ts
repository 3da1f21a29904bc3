import { createHash } from "node:crypto";
import type { ClientKey } from "../../../src/domain/authentication/client-key.ts";
import type { Credential } from "../../../src/domain/authentication/credential.ts";
import type { WorkloadTrust } from "../../../src/domain/authentication/workload-trust.ts";
import type { Store, StoreContent, StoredKey, StoreSnapshot, StoreWriter } from "../../../src/ports/store.ts";
import { fakeClock, type FakeClock } from "../../support/clock.ts";

/** Data on which stores can be opened, several at the same time. */
export interface StorePlace {
  open(clock: FakeClock): Promise<Store>;
}

/** Differences between databases. */
export interface StoreTraits {
  /** True: the store notifies of another store's change. False: only polling finds it. */
  readonly notifies: boolean;
  /** True: the test sets the store's clock. */
  readonly settableClock: boolean;
}

/** The stores of one test. */
export class StoreFixture {
  readonly traits: StoreTraits;
  readonly #newPlace: () => Promise<StorePlace>;
  #opened: Store[] = [];
  #place!: StorePlace;
  clock!: FakeClock;
  store!: Store;

  constructor(traits: StoreTraits, newPlace: () => Promise<StorePlace>) {
    this.traits = traits;
    this.#newPlace = newPlace;
  }

  /** Opens a store on new data. */
  async setUp(): Promise<void> {
    this.clock = fakeClock();
    this.#place = await this.#newPlace();
    this.store = await this.open();
  }

  /** Closes every store and opens one again. */
  async reopen(): Promise<void> {
    await this.tearDown();
    this.store = await this.open();
  }

  async tearDown(): Promise<void> {
    for (const store of this.#opened.splice(0)) await store.close();
  }

  /** Opens another store on the same data. */
  readonly open = async (): Promise<Store> => {
    const store = await this.#place.open(this.clock);
    this.#opened.push(store);
    return store;
  };

  readonly write = <T>(work: (writer: StoreWriter) => Promise<T>): Promise<T> => this.store.write(work);

  readonly snapshot = (): Promise<StoreSnapshot> => this.store.readSnapshot();

  readonly epochNow = async (): Promise<number> => (await this.store.readState()).epoch;

  /** Everything but the time. */
  readonly content = async (): Promise<Omit<StoreSnapshot, "now">> => {
    const { now: _, ...rest } = await this.store.readSnapshot();
    return rest;
  };

  readonly insertApps = (...appIds: string[]): Promise<void> =>
    this.write(async ({ apps }) => {
      for (const appId of appIds) await apps.insert(appId);
    });

  /** Inserts keys, and their apps if they are missing. */
  readonly insertKeys = (...keys: StoredKey[]): Promise<void> =>
    this.write(async (writer) => {
      for (const appId of new Set(keys.map((key) => key.appId))) {
        if ((await writer.apps.find(appId)) === undefined) await writer.apps.insert(appId);
      }
      for (const key of keys) await writer.keys.insert(key);
    });
}

export function appIdsOf({ apps }: StoreSnapshot): string[] {
  return apps.map((app) => app.appId);
}

/** Keys with their bytes as text, which matchers compare and show. */
export function withHexKeys(keys: readonly StoredKey[]) {
  return keys.map((key) => ({ ...key, sealedPrivateKey: Buffer.from(key.sealedPrivateKey).toString("hex") }));
}

/** Sorts rows by their content, for lists without an order. */
export function sorted(rows: readonly object[]): object[] {
  const texts = new Map(rows.map((row) => [row, JSON.stringify(row, Object.keys(row).sort())]));
  return rows.toSorted((a, b) => (texts.get(a)! < texts.get(b)! ? -1 : 1));
}

const NO_ROWS = {
  apps: [],
  keys: [],
  revokedTokens: [],
  revokedServices: [],
  services: [],
  credentials: [],
  clientKeys: [],
  trusts: [],
};
export const EMPTY_CONTENT: StoreContent = { ...NO_ROWS, policyVersions: [] };
/** An empty snapshot without its state. */
export const EMPTY_SNAPSHOT = { ...NO_ROWS, policies: [] };

export function credential(facts: Partial<Credential> = {}): Credential {
  const named = { appId: "public", service: "orders", id: "c", ...facts };
  const digest = createHash("sha256").update(`${named.appId} ${named.service} ${named.id}`).digest("base64url");
  const { appId, service, id, ...dates } = named;
  return { appId, service, id, digest, createdAt: 1, expiresAt: null, lastUsedAt: null, ...dates };
}

export function clientKey(facts: Partial<ClientKey> = {}): ClientKey {
  const jwk = { kty: "OKP", crv: "Ed25519", x: "A".repeat(43) } as const;
  return { appId: "public", service: "orders", kid: "k", algorithm: "Ed25519", jwk, createdAt: 1, ...facts };
}

export function trust(facts: Partial<WorkloadTrust> = {}): WorkloadTrust {
  return {
    appId: "public",
    id: "t",
    service: "orders",
    issuer: "https://platform.test",
    subject: "repo:org/app:*",
    audience: "core",
    jwks: null,
    createdAt: 1,
    ...facts,
  };
}
