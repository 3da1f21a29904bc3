import { planRotation, type CreateStep, type RotationPolicy } from "../domain/rotation.ts";
import type { KeyVault } from "../ports/key-vault.ts";
import type { Store, StoreWriter } from "../ports/store.ts";
import type { KeyRing } from "./key-ring.ts";
import type { Log } from "./log.ts";
import { dynamicKid, generateKeyMaterial, type KeyMaterial } from "./private-keys.ts";

/** Makes and removes keys as the plan says. */
export interface RotateKeys {
  /** Everything that is due, in every app. */
  rotateAll(): Promise<void>;
  /** What an app cannot sign without, and the app itself where it is missing. @returns whether it was made */
  provisionApp(appId: string): Promise<boolean>;
}

interface Parts {
  readonly store: Store;
  readonly vault: KeyVault;
  readonly keyRing: KeyRing;
  readonly policy: RotationPolicy;
  readonly log: Log;
}

export function createRotateKeys({ store, vault, keyRing, policy, log }: Parts): RotateKeys {
  /** Keys take long to make, so they are made before the lock is taken, for a plan that may be outdated by then. */
  async function makeMaterial(appId: string, steps: readonly CreateStep[]): Promise<Map<string, KeyMaterial[]>> {
    const taken = new Set(keyRing.keysOf(appId).map((key) => key.kid));
    let stamp = Math.floor(keyRing.now());
    const made = await Promise.all(
      steps.map(async ({ kind, algorithm }) => {
        while (taken.has(dynamicKid(stamp))) stamp++;
        const material = await generateKeyMaterial(appId, kind, algorithm, stamp++, vault);
        return [`${kind} ${algorithm}`, material] as const;
      }),
    );
    const byWhat = new Map<string, KeyMaterial[]>();
    for (const [what, material] of made) byWhat.set(what, [...(byWhat.get(what) ?? []), material]);
    return byWhat;
  }

  /**
   * Plans again under the lock, with what is there by then: of racing instances one finds something to do,
   * and the others throw away what they made.
   */
  async function execute(writer: StoreWriter, appId: string, material: Map<string, KeyMaterial[]>): Promise<void> {
    const present = await writer.keysOf(appId);
    const taken = new Set(present.map((key) => key.kid));
    for (const step of planRotation(present, policy, writer.now)) {
      if (step.type === "remove") {
        await writer.deleteKey(appId, step.kid);
        log.info({ appId, kid: step.kid }, "removed a key that verifies no token any more");
        continue;
      }
      const { type: _, ...dates } = step;
      const key = material.get(`${step.kind} ${step.algorithm}`)?.shift();
      // Whoever won the race may have made a key in the same millisecond; the next look makes what is left.
      if (key === undefined || taken.has(key.kid)) continue;
      await writer.insertKey({ ...dates, ...key, appId, createdAt: writer.now, revokedAt: null });
      log.info(
        { appId, kid: key.kid, kind: step.kind, signsFrom: new Date(step.signsFrom).toISOString() },
        "made a key",
      );
    }
  }

  async function rotate(appId: string): Promise<void> {
    const plan = planRotation(keyRing.keysOf(appId), policy, keyRing.now());
    if (plan.length === 0) return;
    const creations = plan.filter((step) => step.type === "create");
    const material = await makeMaterial(appId, creations);
    await store.write(async (writer) => {
      if (await writer.hasApp(appId)) await execute(writer, appId, material);
    });
    await keyRing.refresh();
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

    async provisionApp(appId) {
      const now = keyRing.now();
      const plan = planRotation(keyRing.keysOf(appId), policy, now);
      const urgent = plan.filter((step) => step.type === "create").filter((step) => step.signsFrom <= now);
      if (urgent.length === 0 && keyRing.hasApp(appId)) return false;
      const material = await makeMaterial(appId, urgent);
      const createdNew = await store.write(async (writer) => {
        const missing = !(await writer.hasApp(appId));
        if (missing) await writer.insertApp(appId);
        await execute(writer, appId, material);
        return missing;
      });
      await keyRing.refresh();
      return createdNew;
    },
  });
}
