import type { KeyUpdate } from "../../domain/keys/key-change.ts";
import type { CreateStep, RotationStep } from "../../domain/keys/rotation.ts";
import type { KeyVault } from "../../ports/key-vault.ts";
import type { StoredKey, StoreWriter } from "../../ports/store.ts";
import { reseal, type KeyMaterial } from "../../crypto/private-keys.ts";

/** Generated keys, by kind and algorithm. */
export class KeySupply {
  readonly #keys: Map<string, readonly KeyMaterial[]>;

  constructor(keys: ReadonlyMap<string, readonly KeyMaterial[]> = new Map()) {
    this.#keys = new Map(keys);
  }

  add(step: CreateStep, key: KeyMaterial): void {
    this.#keys.set(purposeOf(step), [...(this.#keys.get(purposeOf(step)) ?? []), key]);
  }

  take(step: CreateStep): KeyMaterial | undefined {
    const [first, ...others] = this.#keys.get(purposeOf(step)) ?? [];
    this.#keys.set(purposeOf(step), others);
    return first;
  }

  copy(): KeySupply {
    return new KeySupply(this.#keys);
  }
}

function purposeOf({ kind, algorithm }: CreateStep): string {
  return `${kind} ${algorithm}`;
}

/** Changes the keys of one app inside one transaction, under the store's lock. */
export class KeyTransaction {
  readonly writer: StoreWriter;
  /** Log events for after the commit. */
  readonly events: { readonly fields: object; readonly message: string }[] = [];
  readonly #appId: string;
  readonly #vault: KeyVault;
  readonly #supply: KeySupply;

  constructor(writer: StoreWriter, appId: string, vault: KeyVault, supply: KeySupply) {
    this.writer = writer;
    this.#appId = appId;
    this.#vault = vault;
    this.#supply = supply;
  }

  /** Reports whether the supply has a key for each step. */
  canMake(steps: readonly CreateStep[]): boolean {
    const supply = this.#supply.copy();
    return steps.every((step) => supply.take(step) !== undefined);
  }

  /** @param present the app's keys; kids must stay unique */
  async run(steps: readonly RotationStep[], present: readonly StoredKey[]): Promise<void> {
    const taken = new Set(present.map((key) => key.kid));
    for (const step of steps) {
      if (step.type === "remove") {
        await this.writer.keys.delete(this.#appId, step.kid);
        this.#record({ kid: step.kid }, "expired signing key removed");
        continue;
      }
      const key = this.#supply.take(step);
      // Another instance can have created a key in the same millisecond; the next poll creates the missing key.
      if (key !== undefined && !taken.has(key.kid)) await this.#insert(step, key, "signing key created");
    }
  }

  async update(updates: readonly KeyUpdate[]): Promise<void> {
    for (const { kid, dates } of updates) await this.writer.keys.update(this.#appId, kid, dates);
  }

  /** @param key undefined: take the key from the supply, which must have one */
  async add(step: CreateStep, key: KeyMaterial | undefined): Promise<void> {
    await this.#insert(step, key ?? this.#supply.take(step)!, "signing key added by an administrator");
  }

  /**
   * The master key can have been replaced, and the old one deleted, since the key was encrypted. Reload it under the
   * lock: a replacement writes the new master key first and re-encrypts the stored keys afterwards, under the lock too.
   */
  async #insert(step: CreateStep, key: KeyMaterial, message: string): Promise<void> {
    const { type: _, ...dates } = step;
    const appId = this.#appId;
    await this.#vault.reload();
    const sealed = key.masterKeyId === this.#vault.masterKeyId ? key : await reseal({ ...key, appId }, this.#vault);
    await this.writer.keys.insert({ ...dates, ...key, ...sealed, appId, createdAt: this.writer.now, revokedAt: null });
    this.#record({ kid: key.kid, kind: step.kind, signsFrom: new Date(step.signsFrom).toISOString() }, message);
  }

  #record(fields: object, message: string): void {
    this.events.push({ fields: { appId: this.#appId, ...fields }, message });
  }
}
