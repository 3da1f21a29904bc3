import type { KeyUpdate } from "../../domain/keys/key-change.ts";
import type { CreateStep, RotationStep } from "../../domain/keys/rotation.ts";
import type { KeyVault } from "../../ports/key-vault.ts";
import type { StoredKey, StoreWriter } from "../../ports/store.ts";
import { reseal, type KeyMaterial } from "../../crypto/private-keys.ts";

/** Keys that were made, by what they are for. */
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

/** What is done to the keys of one app inside one transaction, under the store's lock. */
export class KeyTransaction {
  readonly writer: StoreWriter;
  /** What is to be logged of it once it is committed. */
  readonly said: { readonly facts: object; readonly message: string }[] = [];
  readonly #appId: string;
  readonly #vault: KeyVault;
  readonly #supply: KeySupply;

  constructor(writer: StoreWriter, appId: string, vault: KeyVault, supply: KeySupply) {
    this.writer = writer;
    this.#appId = appId;
    this.#vault = vault;
    this.#supply = supply;
  }

  /** Whether there is a key for each. */
  canMake(steps: readonly CreateStep[]): boolean {
    const supply = this.#supply.copy();
    return steps.every((step) => supply.take(step) !== undefined);
  }

  /** @param present the app's keys, of which no two may have one kid */
  async run(steps: readonly RotationStep[], present: readonly StoredKey[]): Promise<void> {
    const taken = new Set(present.map((key) => key.kid));
    for (const step of steps) {
      if (step.type === "remove") {
        await this.writer.keys.delete(this.#appId, step.kid);
        this.#say({ kid: step.kid }, "removed a key that verifies no token any more");
        continue;
      }
      const key = this.#supply.take(step);
      // Whoever won the race may have made a key in the same millisecond; the next look makes what is left.
      if (key !== undefined && !taken.has(key.kid)) await this.#insert(step, key, "made a key");
    }
  }

  async update(updates: readonly KeyUpdate[]): Promise<void> {
    for (const { kid, dates } of updates) await this.writer.keys.update(this.#appId, kid, dates);
  }

  /** @param key default: one from the supply, which has it */
  async add(step: CreateStep, key: KeyMaterial | undefined): Promise<void> {
    await this.#insert(step, key ?? this.#supply.take(step)!, "added a key by hand");
  }

  /**
   * The master key may have been replaced since the key was sealed, and the old one thrown away by now. It is looked
   * at under the lock: whoever replaces it writes it down first and seals what is stored afterwards, under the lock too.
   */
  async #insert(step: CreateStep, key: KeyMaterial, message: string): Promise<void> {
    const { type: _, ...dates } = step;
    const appId = this.#appId;
    await this.#vault.reload();
    const sealed = key.masterKeyId === this.#vault.masterKeyId ? key : await reseal({ ...key, appId }, this.#vault);
    await this.writer.keys.insert({ ...dates, ...key, ...sealed, appId, createdAt: this.writer.now, revokedAt: null });
    this.#say({ kid: key.kid, kind: step.kind, signsFrom: new Date(step.signsFrom).toISOString() }, message);
  }

  #say(facts: object, message: string): void {
    this.said.push({ facts: { appId: this.#appId, ...facts }, message });
  }
}
