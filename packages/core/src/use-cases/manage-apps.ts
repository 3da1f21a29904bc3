import { DEFAULT_APP, normaliseAppId, problemOfNewAppId } from "../domain/app.ts";
import type { Store } from "../ports/store.ts";
import type { KeyRing } from "./key-ring.ts";
import type { RotateKeys } from "./rotate-keys.ts";

export interface ManageApps {
  /** Makes an app with keys of its own. */
  create(appId: string): Promise<{ ok: true; createdNew: boolean } | { ok: false; problem: string }>;
  list(): string[];
  /** Removes an app with its keys: its tokens end. The default app stays. */
  remove(appId: string): Promise<{ ok: true; didExist: boolean } | { ok: false }>;
}

export function createManageApps(store: Store, keyRing: KeyRing, rotateKeys: RotateKeys): ManageApps {
  return Object.freeze<ManageApps>({
    async create(text) {
      const appId = normaliseAppId(text);
      const problem = problemOfNewAppId(appId);
      if (problem !== undefined) return { ok: false, problem };
      return { ok: true, createdNew: await rotateKeys.provisionApp(appId) };
    },
    list: () => keyRing.appIds(),
    async remove(text) {
      const appId = normaliseAppId(text);
      if (appId === DEFAULT_APP) return { ok: false };
      const didExist = await store.write((writer) => writer.deleteApp(appId));
      await keyRing.refresh();
      return { ok: true, didExist };
    },
  });
}
