import type { Store } from "../ports/store.ts";
import type { KeyRing } from "./key-ring.ts";
import type { Log } from "./log.ts";
import type { RotateKeys } from "./rotate-keys.ts";

/**
 * What an instance does by itself: looks at the store, and makes the keys that are due. The event loop
 * may end while it waits.
 *
 * @param instanceRefresh milliseconds within which another instance's change must be seen
 */
export function keepUpToDate(
  store: Store,
  keyRing: KeyRing,
  rotateKeys: RotateKeys,
  instanceRefresh: number,
  log: Log,
  noticeRestore: () => Promise<void>,
): { stop(): Promise<void> } {
  let stopped = false;
  let failing = false;
  let timer: NodeJS.Timeout | undefined;
  let running = look();

  async function look(): Promise<void> {
    try {
      await keyRing.refresh();
      await noticeRestore();
      await rotateKeys.rotateAll();
      if (failing) log.info({}, "the store can be used again");
      failing = false;
    } catch (error) {
      // Issuing and the key sets go on from memory, so this is said once, not every second.
      if (!failing) log.error({ err: error }, "the store cannot be used; going on from memory");
      failing = true;
    }
    if (stopped) return;
    timer = setTimeout(
      () => {
        running = look();
      },
      Math.min(store.lookEvery, instanceRefresh),
    );
    timer.unref();
  }

  const unwatch = store.watch(() => {
    keyRing.refresh().catch(() => {}); // the next look finds out, and says so
  });

  return {
    async stop() {
      stopped = true;
      unwatch();
      clearTimeout(timer);
      await running;
    },
  };
}
