import { applyUpdates, type DecideChange } from "../../domain/keys/key-change.ts";
import { isRefused, type RefusedChange } from "../../domain/change-result.ts";
import { replaceSigners } from "../../domain/keys/replacement.ts";
import { planRotation, simulatedKey, type CreateStep, type RotationStep } from "../../domain/keys/rotation.ts";
import type { KeyVault } from "../../ports/key-vault.ts";
import { StoreUnavailable, type Store, type StoredApp, type StoredKey } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import { KeySupply, KeyTransaction } from "./key-transaction.ts";
import type { Log } from "../../ports/log.ts";
import { dynamicKid, generateKeyMaterial, type KeyMaterial } from "../../crypto/private-keys.ts";

/** Creates and removes keys as planned. */
export interface RotateKeys {
  /**
   * Does everything that is due, in every app.
   *
   * @param signal stops after the current app
   */
  rotateAll(signal?: AbortSignal): Promise<void>;
  rotate(appId: string): Promise<void>;
  /** Creates an app if missing, and the keys without which it cannot sign. @returns whether the app was created */
  provisionApp(appId: string): Promise<boolean>;
  /**
   * Makes a change by an administrator, and the rotation it causes. The change is decided from memory, and again under
   * the lock.
   *
   * @param imported key to add; undefined: generate one if the change needs it
   * @returns the app's keys after the change, or the reason why it was rejected
   */
  change(appId: string, decide: DecideChange, imported?: KeyMaterial): Promise<RefusedChange | readonly StoredKey[]>;
}

interface Parts {
  readonly store: Store;
  readonly vault: KeyVault;
  readonly state: InstanceState;
  readonly log: Log;
}

/** What planning the keys of an app needs to know about it. */
type AppOfKeys = Pick<StoredApp, "appId" | "algorithms">;

/** Keys generated at the same time. The thread pool has four threads, and signing needs the others. */
const MAX_CONCURRENT_GENERATIONS = 2;

export function createRotateKeys(parts: Parts): RotateKeys {
  const rotator = new KeyRotator(parts);
  return Object.freeze<RotateKeys>({
    rotateAll: (signal) => rotator.rotateAll(signal),
    rotate: (appId) => rotator.rotate(appId),
    provisionApp: (appId) => rotator.provisionApp(appId),
    change: (appId, decide, imported) => rotator.change(appId, decide, imported),
  });
}

class KeyRotator implements RotateKeys {
  readonly #store: Store;
  readonly #vault: KeyVault;
  readonly #state: InstanceState;
  readonly #log: Log;
  readonly #limit = limitConcurrency(MAX_CONCURRENT_GENERATIONS);
  /** By app, keys generated for a transaction that failed because the store was unavailable. The next one uses them. */
  readonly #unused = new Map<string, KeySupply>();
  /** By app, the logged reason why its active signing keys cannot be replaced. Each is logged once. */
  readonly #stuck = new Map<string, string>();

  constructor({ store, vault, state, log }: Parts) {
    this.#store = store;
    this.#vault = vault;
    this.#state = state;
    this.#log = log;
  }

  async rotateAll(signal?: AbortSignal): Promise<void> {
    const failures: unknown[] = [];
    for (const appId of this.#state.appIds()) {
      if (signal?.aborted === true) break;
      try {
        await this.rotate(appId);
      } catch (error) {
        failures.push(error); // go on with the other apps
        if (error instanceof StoreUnavailable) break; // they would fail too
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async rotate(appId: string): Promise<void> {
    const state = this.#state;
    if (state.isRotationDue(appId) && (await this.#replace(appId))) return;
    const plan = planRotation(state.keysOf(appId), state.rotationPolicyOf(appId), state.now());
    if (plan.length === 0) return;
    await this.#transact(appId, await this.#generate(appId, creationsIn(plan)), async (transaction) => {
      const app = await transaction.writer.apps.find(appId);
      if (app !== undefined) await this.#runPlan(app, transaction);
    });
  }

  async provisionApp(appId: string): Promise<boolean> {
    const state = this.#state;
    const now = state.now();
    const plan = planRotation(state.keysOf(appId), state.rotationPolicyOf(appId), now);
    const urgent = creationsIn(plan).filter((step) => step.signsFrom <= now);
    if (urgent.length === 0 && state.hasApp(appId)) return false;
    return this.#transact(appId, await this.#generate(appId, urgent), async (transaction) => {
      const { writer } = transaction;
      const app = await writer.apps.find(appId);
      if (app === undefined) await writer.apps.insert(appId);
      await this.#runPlan(app ?? { appId, algorithms: null }, transaction);
      return app === undefined;
    });
  }

  async change(
    appId: string,
    decide: DecideChange,
    imported?: KeyMaterial,
  ): Promise<RefusedChange | readonly StoredKey[]> {
    const state = this.#state;
    await state.catchUp(); // another instance might have made this change already
    const policy = state.rotationPolicyOf(appId);
    const expected = decide(state.keysOf(appId), policy, state.now());
    if (isRefused(expected)) return expected;
    const after = applyUpdates(state.keysOf(appId), expected.updates);
    const creations = creationsIn(planRotation(after, policy, state.now()));
    if (expected.create !== undefined && imported === undefined) creations.push(expected.create);

    return this.#transact(appId, await this.#generate(appId, creations), async (transaction) => {
      const { writer } = transaction;
      const app = await writer.apps.find(appId);
      if (app === undefined) return { status: 404 as const, problem: "app not found" };
      const decided = decide(await writer.keys.listIn(appId), state.rotationPolicyWith(app.algorithms), writer.now);
      if (isRefused(decided)) return decided;
      const { updates, create } = decided;
      if (create !== undefined && imported === undefined && !transaction.canMake([create])) {
        return { status: 409 as const, problem: "the keys were changed at the same time; try again" };
      }
      await transaction.update(updates);
      if (create !== undefined) await transaction.add(create, imported);
      await this.#runPlan(app, transaction);
      return writer.keys.listIn(appId);
    });
  }

  /**
   * Replaces all active signing keys and clears the mark that this is due, in one transaction.
   *
   * @returns whether replacing was possible
   */
  async #replace(appId: string): Promise<boolean> {
    const state = this.#state;
    const [keys, policy, now] = [state.keysOf(appId), state.rotationPolicyOf(appId), state.now()];
    const planned = creationsIn(planRotation(keys, policy, now));
    const expected = replaceSigners([...keys, ...planned.map((step) => simulatedKey(step, now))], policy, now);
    if (isRefused(expected)) {
      this.#reportStuck(appId, expected.problem);
      return false;
    }
    this.#stuck.delete(appId);
    const supply = await this.#generate(appId, [...planned, ...expected.creates]);
    await this.#transact(appId, supply, async (transaction) => {
      const { writer } = transaction;
      const app = await writer.apps.find(appId);
      if (app?.rotationDue !== true) return; // another instance has replaced them
      await this.#runPlan(app, transaction);
      const present = await writer.keys.listIn(appId);
      const decided = replaceSigners(present, state.rotationPolicyWith(app.algorithms), writer.now);
      // If the keys have changed since, the next poll tries again.
      if (isRefused(decided) || !transaction.canMake(decided.creates)) return;
      await transaction.update(decided.updates);
      await transaction.run(decided.creates, present);
      await writer.apps.endRotationDue(appId);
    });
    return true;
  }

  #reportStuck(appId: string, reason: string): void {
    if (this.#stuck.get(appId) !== reason) {
      this.#log.error({ appId, reason }, "cannot replace active signing keys after restore, will retry");
    }
    this.#stuck.set(appId, reason);
  }

  /**
   * Generates keys before the lock is taken, because that is slow. The plan might be outdated when the lock is held.
   */
  async #generate(appId: string, steps: readonly CreateStep[]): Promise<KeySupply> {
    const taken = new Set(this.#state.keysOf(appId).map((key) => key.kid));
    const before = this.#unused.get(appId) ?? new KeySupply();
    this.#unused.delete(appId);
    let stamp = Math.floor(this.#state.now());
    const generated = await Promise.all(
      steps.map(async (step) => {
        const ready = before.take(step);
        if (ready !== undefined && !taken.has(ready.kid)) return [step, ready] as const;
        while (taken.has(dynamicKid(stamp))) stamp++;
        const kidStamp = stamp++;
        const { kind, algorithm } = step;
        const generate = () => generateKeyMaterial(appId, kind, algorithm, kidStamp, this.#vault);
        return [step, await this.#limit(generate)] as const;
      }),
    );
    const supply = new KeySupply();
    for (const [step, material] of generated) supply.add(step, material);
    return supply;
  }

  /** Runs one transaction on the keys of an app. Logs what it did after the commit. */
  async #transact<T>(appId: string, supply: KeySupply, work: (transaction: KeyTransaction) => Promise<T>): Promise<T> {
    try {
      const { result, events } = await this.#store.write(async (writer) => {
        const transaction = new KeyTransaction(writer, appId, this.#vault, supply.copy());
        return { result: await work(transaction), events: transaction.events };
      });
      for (const { fields, message } of events) this.#log.info(fields, message);
      await this.#state.catchUp();
      return result;
    } catch (error) {
      if (error instanceof StoreUnavailable) this.#unused.set(appId, supply);
      throw error;
    }
  }

  /**
   * Plans again under the lock, with the keys as they are then. If instances race, one of them finds something to do
   * and the others discard the keys they generated.
   */
  async #runPlan({ appId, algorithms }: AppOfKeys, transaction: KeyTransaction): Promise<void> {
    const { writer } = transaction;
    const present = await writer.keys.listIn(appId);
    await transaction.run(planRotation(present, this.#state.rotationPolicyWith(algorithms), writer.now), present);
  }
}

function creationsIn(plan: readonly RotationStep[]): CreateStep[] {
  return plan.filter((step) => step.type === "create");
}

/** Runs at most `most` functions at the same time, in the order of the calls. */
function limitConcurrency(most: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = most;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
