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

/** Makes and removes keys as the plan says. */
export interface RotateKeys {
  /**
   * Everything that is due, in every app.
   *
   * @param signal ends it after the app that it is at
   */
  rotateAll(signal?: AbortSignal): Promise<void>;
  rotate(appId: string): Promise<void>;
  /** What an app cannot sign without, and the app itself where it is missing. @returns whether it was made */
  provisionApp(appId: string): Promise<boolean>;
  /**
   * A change by hand, and what it makes due. It is decided on what is in memory and again under the lock.
   *
   * @param imported the key to add, where the change does not ask for a new one
   * @returns the app's keys as they are then, or why it was refused
   */
  change(appId: string, decide: DecideChange, imported?: KeyMaterial): Promise<RefusedChange | readonly StoredKey[]>;
}

interface Parts {
  readonly store: Store;
  readonly vault: KeyVault;
  readonly state: InstanceState;
  readonly log: Log;
}

/** What the plan for an app's keys needs of it. */
type AppOfKeys = Pick<StoredApp, "appId" | "algorithms">;

/** Keys made at once: the thread pool has four threads, and signing needs the others. */
const MADE_AT_ONCE = 2;

export function createRotateKeys({ store, vault, state, log }: Parts): RotateKeys {
  const inTurn = takeTurns(MADE_AT_ONCE);
  /** By app, what was made for a transaction that the store did not take: the next one need not make it again. */
  const left = new Map<string, KeySupply>();
  /** Why apps keep signers that are to be replaced, each said once. */
  const stuck = new Map<string, string>();

  /** Keys take long to make, so they are made before the lock is taken, for a plan that may be outdated by then. */
  async function makeMaterial(appId: string, steps: readonly CreateStep[]): Promise<KeySupply> {
    const taken = new Set(state.keysOf(appId).map((key) => key.kid));
    const before = left.get(appId) ?? new KeySupply();
    left.delete(appId);
    let stamp = Math.floor(state.now());
    const made = await Promise.all(
      steps.map(async (step) => {
        const ready = before.take(step);
        if (ready !== undefined && !taken.has(ready.kid)) return [step, ready] as const;
        while (taken.has(dynamicKid(stamp))) stamp++;
        const kidStamp = stamp++;
        const { kind, algorithm } = step;
        return [step, await inTurn(() => generateKeyMaterial(appId, kind, algorithm, kidStamp, vault))] as const;
      }),
    );
    const supply = new KeySupply();
    for (const [step, material] of made) supply.add(step, material);
    return supply;
  }

  /** One transaction on the keys of an app, with material for it. */
  async function transact<T>(
    appId: string,
    supply: KeySupply,
    work: (transaction: KeyTransaction) => Promise<T>,
  ): Promise<T> {
    try {
      const { result, said } = await store.write(async (writer) => {
        const transaction = new KeyTransaction(writer, appId, vault, supply.copy());
        return { result: await work(transaction), said: transaction.said };
      });
      for (const { facts, message } of said) log.info(facts, message);
      await state.catchUp();
      return result;
    } catch (error) {
      if (error instanceof StoreUnavailable) left.set(appId, supply);
      throw error;
    }
  }

  /**
   * Plans again under the lock, with what is there by then: of racing instances one finds something to do,
   * and the others throw away what they made.
   */
  async function execute({ appId, algorithms }: AppOfKeys, transaction: KeyTransaction): Promise<void> {
    const { writer } = transaction;
    const present = await writer.keys.listIn(appId);
    await transaction.run(planRotation(present, state.rotationPolicyWith(algorithms), writer.now), present);
  }

  async function rotate(appId: string): Promise<void> {
    if (state.isRotationDue(appId) && (await replace(appId))) return;
    const plan = planRotation(state.keysOf(appId), state.rotationPolicyOf(appId), state.now());
    if (plan.length === 0) return;
    await transact(appId, await makeMaterial(appId, creationsIn(plan)), async (transaction) => {
      const app = await transaction.writer.apps.find(appId);
      if (app !== undefined) await execute(app, transaction);
    });
  }

  /** Replaces every signer, and forgets that this is due: both or neither. @returns whether it could be tried */
  async function replace(appId: string): Promise<boolean> {
    const [keys, policy, now] = [state.keysOf(appId), state.rotationPolicyOf(appId), state.now()];
    const planned = creationsIn(planRotation(keys, policy, now));
    const expected = replaceSigners([...keys, ...planned.map((step) => simulatedKey(step, now))], policy, now);
    if (isRefused(expected)) {
      const { problem } = expected;
      if (stuck.get(appId) !== problem) {
        log.error(
          { appId, reason: problem },
          "THE SIGNERS OF A RESTORED APP CANNOT BE REPLACED; they sign on until that is possible",
        );
      }
      stuck.set(appId, problem);
      return false;
    }
    stuck.delete(appId);
    const supply = await makeMaterial(appId, [...planned, ...expected.creates]);
    await transact(appId, supply, async (transaction) => {
      const { writer } = transaction;
      const app = await writer.apps.find(appId);
      if (app?.rotationDue !== true) return; // another instance has seen to it
      await execute(app, transaction);
      const present = await writer.keys.listIn(appId);
      const decided = replaceSigners(present, state.rotationPolicyWith(app.algorithms), writer.now);
      // What has changed since it was looked at is for the next look.
      if (isRefused(decided) || !transaction.canMake(decided.creates)) return;
      await transaction.update(decided.updates);
      await transaction.run(decided.creates, present);
      await writer.apps.endRotationDue(appId);
    });
    return true;
  }

  return Object.freeze<RotateKeys>({
    async rotateAll(signal) {
      const failures: unknown[] = [];
      for (const appId of state.appIds()) {
        if (signal?.aborted === true) break;
        try {
          await rotate(appId);
        } catch (error) {
          failures.push(error); // one app's trouble is not the others'
          if (error instanceof StoreUnavailable) break; // the store's is
        }
      }
      if (failures.length > 0) throw failures[0];
    },

    rotate,

    async change(appId, decide, imported) {
      await state.catchUp(); // another instance may have made what is asked for a moment ago
      const policy = state.rotationPolicyOf(appId);
      const expected = decide(state.keysOf(appId), policy, state.now());
      if (isRefused(expected)) return expected;
      const after = applyUpdates(state.keysOf(appId), expected.updates);
      const creations = creationsIn(planRotation(after, policy, state.now()));
      if (expected.create !== undefined && imported === undefined) creations.push(expected.create);

      return transact(appId, await makeMaterial(appId, creations), async (transaction) => {
        const { writer } = transaction;
        const app = await writer.apps.find(appId);
        if (app === undefined) return { status: 404 as const, problem: "there is no such app" };
        const decided = decide(await writer.keys.listIn(appId), state.rotationPolicyWith(app.algorithms), writer.now);
        if (isRefused(decided)) return decided;
        const { updates, create } = decided;
        if (create !== undefined && imported === undefined && !transaction.canMake([create])) {
          return { status: 409 as const, problem: "somebody else changed the keys meanwhile: try again" };
        }
        await transaction.update(updates);
        if (create !== undefined) await transaction.add(create, imported);
        await execute(app, transaction);
        return writer.keys.listIn(appId);
      });
    },

    async provisionApp(appId) {
      const now = state.now();
      const plan = planRotation(state.keysOf(appId), state.rotationPolicyOf(appId), now);
      const urgent = creationsIn(plan).filter((step) => step.signsFrom <= now);
      if (urgent.length === 0 && state.hasApp(appId)) return false;
      return transact(appId, await makeMaterial(appId, urgent), async (transaction) => {
        const { writer } = transaction;
        const app = await writer.apps.find(appId);
        if (app === undefined) await writer.apps.insert(appId);
        await execute(app ?? { appId, algorithms: null }, transaction);
        return app === undefined;
      });
    },
  });
}

function creationsIn(plan: readonly RotationStep[]): CreateStep[] {
  return plan.filter((step) => step.type === "create");
}

/** Runs at most so many at once, in the order in which they came. */
function takeTurns(most: number): <T>(work: () => Promise<T>) => Promise<T> {
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
