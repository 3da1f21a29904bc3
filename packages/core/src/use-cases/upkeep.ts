import type { KeyRing } from "./key-ring.ts";
import type { Log } from "./log.ts";
import type { RotateKeys } from "./rotate-keys.ts";

/** Milliseconds between looks at the store at most: how soon an instance sees what another one did. */
const LOOK_EVERY = 1_000;

/**
 * What an instance does by itself: looks at the store, and makes the keys that are due. The event loop
 * may end while it waits.
 *
 * @param instanceRefresh milliseconds within which another instance's change must be seen
 */
export function keepUpToDate(
  keyRing: KeyRing,
  rotateKeys: RotateKeys,
  instanceRefresh: number,
  log: Log,
): { stop(): Promise<void> } {
  let stopped = false;
  let failing = false;
  let timer: NodeJS.Timeout | undefined;
  let running = look();

  async function look(): Promise<void> {
    try {
      await keyRing.refresh();
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
      Math.min(LOOK_EVERY, instanceRefresh / 2),
    );
    timer.unref();
  }

  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
