import { LIMITS, type Algorithm } from "countersign/protocol";
import { DEFAULT_APP, normalizeAppId, problemOfNewAppId } from "../../domain/apps/app.ts";
import { TOO_MANY_KEYS } from "../../domain/keys/key-change.ts";
import { peakOfPublishedKeys, problemsOfRotationPolicy } from "../../domain/keys/rotation.ts";
import { StoreUnavailable, type Store } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import type { RotateKeys } from "../keys/rotate-keys.ts";

export interface ManageApps {
  /** Creates an app with its own keys. */
  create(appId: string): Promise<{ ok: true; createdNew: boolean } | { ok: false; problem: string }>;
  /** Sets the app's signing algorithms; null: the core's configured ones. Existing keys remain valid for verification. */
  setAlgorithms(appId: string, algorithms: readonly Algorithm[] | null): Promise<ChangeResult<readonly Algorithm[]>>;
  /** Deletes an app with its keys, which invalidates its tokens. The default app cannot be deleted. */
  remove(appId: string): Promise<{ ok: true; didExist: boolean } | { ok: false }>;
}

export function createManageApps(store: Store, state: InstanceState, rotateKeys: RotateKeys): ManageApps {
  return Object.freeze<ManageApps>({
    async create(text) {
      const appId = normalizeAppId(text);
      const problem = problemOfNewAppId(appId);
      if (problem !== undefined) return { ok: false, problem };
      return { ok: true, createdNew: await rotateKeys.provisionApp(appId) };
    },
    async setAlgorithms(appId, algorithms) {
      const policy = state.rotationPolicyWith(algorithms);
      const problem = problemsOfRotationPolicy(policy)[0];
      if (problem !== undefined) return { ok: false, status: 400, problem };
      const fits = await store.write(async (writer) => {
        if (peakOfPublishedKeys(await writer.keys.listIn(appId), policy, writer.now) > LIMITS.jwksKeys) return false;
        await writer.apps.setAlgorithms(appId, algorithms);
        return true;
      });
      if (!fits) return { ok: false, status: 409, problem: TOO_MANY_KEYS };
      await state.catchUp();
      // Create keys for the new algorithms now. If the store is unavailable, the next poll creates them.
      await rotateKeys.rotate(appId).catch((error: unknown) => {
        if (!(error instanceof StoreUnavailable)) throw error;
      });
      return { ok: true, value: policy.algorithms };
    },
    async remove(text) {
      const appId = normalizeAppId(text);
      if (appId === DEFAULT_APP) return { ok: false };
      const didExist = await store.write((writer) => writer.apps.delete(appId));
      await state.catchUp();
      return { ok: true, didExist };
    },
  });
}
