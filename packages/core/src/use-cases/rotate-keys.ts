import { applyUpdates, isRefused, type DecideChange, type RefusedChange } from "../domain/key-change.ts";
import { planRotation, type CreateStep } from "../domain/rotation.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { Store, StoredApp, StoreWriter } from "../ports/store.ts";
import type { KeyRing } from "./key-ring.ts";
import type { Log } from "./log.ts";
import { dynamicKid, generateKeyMaterial, reseal, type KeyMaterial } from "./private-keys.ts";

/** Makes and removes keys as the plan says. */
export interface RotateKeys {
  /** Everything that is due, in every app. */
  rotateAll(): Promise<void>;
  rotate(appId: string): Promise<void>;
  /** What an app cannot sign without, and the app itself where it is missing. @returns whether it was made */
  provisionApp(appId: string): Promise<boolean>;
  /**
   * A change by hand, and what it makes due. It is decided on what is in memory and again under the lock.
   *
   * @param imported the key to add, where the change does not ask for a new one
   * @returns why it was refused, or undefined when it is done
   */
  change(appId: string, decide: DecideChange, imported?: KeyMaterial): Promise<RefusedChange | undefined>;
}

interface Parts {
  readonly store: Store;
  readonly vault: KeyVault;
  readonly keyRing: KeyRing;
  readonly log: Log;
}

/** Tells what a transaction does, once that is done. */
type Note = (facts: object, message: string) => void;

/** Keys made at once: the thread pool has four threads, and signing needs the others. */
const MADE_AT_ONCE = 2;

export function createRotateKeys({ store, vault, keyRing, log }: Parts): RotateKeys {
  const inTurn = takeTurns(MADE_AT_ONCE);

  /** Keys take long to make, so they are made before the lock is taken, for a plan that may be outdated by then. */
  async function makeMaterial(appId: string, steps: readonly CreateStep[]): Promise<Map<string, KeyMaterial[]>> {
    const taken = new Set(keyRing.keysOf(appId).map((key) => key.kid));
    let stamp = Math.floor(keyRing.now());
    const made = await Promise.all(
      steps.map(async ({ kind, algorithm }) => {
        while (taken.has(dynamicKid(stamp))) stamp++;
        const kidStamp = stamp++;
        const material = await inTurn(() => generateKeyMaterial(appId, kind, algorithm, kidStamp, vault));
        return [`${kind} ${algorithm}`, material] as const;
      }),
    );
    const byWhat = new Map<string, KeyMaterial[]>();
    for (const [what, material] of made) byWhat.set(what, [...(byWhat.get(what) ?? []), material]);
    return byWhat;
  }

  /** Runs a transaction, and tells of it and takes it up when it is committed. */
  async function commit<T>(work: (writer: StoreWriter, note: Note) => Promise<T>): Promise<T> {
    const notes: Parameters<Note>[] = [];
    const result = await store.write((writer) => work(writer, (...note) => notes.push(note)));
    for (const note of notes) log.info(...note);
    await keyRing.refresh();
    return result;
  }

  /**
   * Plans again under the lock, with what is there by then: of racing instances one finds something to do,
   * and the others throw away what they made.
   */
  async function execute(
    writer: StoreWriter,
    note: Note,
    { appId, algorithms }: Pick<StoredApp, "appId" | "algorithms">,
    material: Map<string, KeyMaterial[]>,
  ): Promise<void> {
    const present = await writer.keysOf(appId);
    const taken = new Set(present.map((key) => key.kid));
    for (const step of planRotation(present, keyRing.policyWith(algorithms), writer.now)) {
      if (step.type === "remove") {
        await writer.deleteKey(appId, step.kid);
        note({ appId, kid: step.kid }, "removed a key that verifies no token any more");
        continue;
      }
      const { type: _, ...dates } = step;
      const key = material.get(`${step.kind} ${step.algorithm}`)?.shift();
      // Whoever won the race may have made a key in the same millisecond; the next look makes what is left.
      if (key === undefined || taken.has(key.kid)) continue;
      await insert(writer, appId, dates, key);
      note({ appId, kid: key.kid, kind: step.kind, signsFrom: new Date(step.signsFrom).toISOString() }, "made a key");
    }
  }

  /**
   * The master key may have been replaced since the key was sealed, and the old one thrown away by now. It is looked
   * at under the lock: whoever replaces it writes it down first and seals what is stored afterwards, under the lock too.
   */
  async function insert(
    writer: StoreWriter,
    appId: string,
    dates: Omit<CreateStep, "type">,
    key: KeyMaterial,
  ): Promise<void> {
    await vault.reload();
    const sealed = key.masterKeyId === vault.masterKeyId ? key : await reseal({ ...key, appId }, vault);
    await writer.insertKey({ ...dates, ...key, ...sealed, appId, createdAt: writer.now, revokedAt: null });
  }

  async function rotate(appId: string): Promise<void> {
    const plan = planRotation(keyRing.keysOf(appId), keyRing.policyOf(appId), keyRing.now());
    if (plan.length === 0) return;
    const creations = plan.filter((step) => step.type === "create");
    const material = await makeMaterial(appId, creations);
    await commit(async (writer, note) => {
      const app = await writer.app(appId);
      if (app !== undefined) await execute(writer, note, app, material);
    });
  }

  return Object.freeze<RotateKeys>({
    async rotateAll() {
      const failures: unknown[] = [];
      for (const appId of keyRing.appIds()) {
        // One app's trouble is not the others'.
        await rotate(appId).catch((error: unknown) => failures.push(error));
      }
      if (failures.length > 0) throw failures[0];
    },

    rotate,

    async change(appId, decide, imported) {
      await keyRing.refresh(); // another instance may have made what is asked for a moment ago
      const policy = keyRing.policyOf(appId);
      const expected = decide(keyRing.keysOf(appId), policy, keyRing.now());
      if (isRefused(expected)) return expected;
      const after = applyUpdates(keyRing.keysOf(appId), expected.updates);
      const creations = planRotation(after, policy, keyRing.now()).filter((step) => step.type === "create");
      if (expected.create !== undefined && imported === undefined) creations.push(expected.create);
      const material = await makeMaterial(appId, creations);

      return commit(async (writer, note) => {
        const app = await writer.app(appId);
        if (app === undefined) return { status: 404 as const, problem: "there is no such app" };
        const decided = decide(await writer.keysOf(appId), keyRing.policyWith(app.algorithms), writer.now);
        if (isRefused(decided)) return decided;
        const { updates, create } = decided;
        const key = imported ?? (create && material.get(`${create.kind} ${create.algorithm}`)?.shift());
        if (create !== undefined && key === undefined) {
          return { status: 409 as const, problem: "somebody else changed the keys meanwhile: try again" };
        }
        for (const { kid, dates } of updates) await writer.updateKey(appId, kid, dates);
        if (create !== undefined && key !== undefined) {
          const { type: _, ...dates } = create;
          await insert(writer, appId, dates, key);
          note({ appId, kid: key.kid, signsFrom: new Date(dates.signsFrom).toISOString() }, "added a key by hand");
        }
        await execute(writer, note, app, material);
        return undefined;
      });
    },

    async provisionApp(appId) {
      const now = keyRing.now();
      const plan = planRotation(keyRing.keysOf(appId), keyRing.policyOf(appId), now);
      const urgent = plan.filter((step) => step.type === "create").filter((step) => step.signsFrom <= now);
      if (urgent.length === 0 && keyRing.hasApp(appId)) return false;
      const material = await makeMaterial(appId, urgent);
      return commit(async (writer, note) => {
        const app = await writer.app(appId);
        if (app === undefined) await writer.insertApp(appId);
        await execute(writer, note, app ?? { appId, algorithms: null }, material);
        return app === undefined;
      });
    },
  });
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
