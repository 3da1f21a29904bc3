import { isEarlier } from "countersign/protocol";
import type { Store } from "../../ports/store.ts";
import { contentOf, type Backup } from "./backup.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { Log } from "../../ports/log.ts";
import type { ChangeResult } from "../../domain/change-result.ts";

export interface Restored {
  readonly apps: number;
  readonly keys: number;
  readonly generation: number;
}

/**
 * Puts the content of a backup into the store, all of it or nothing, in a generation that nobody has seen. What the
 * store had is replaced where `force` says so; else only an empty store is taken. The signers are replaced by the next
 * core that looks at the store, by its own policy: from then on the store says that this is due.
 */
export type Restore = (backup: Backup, force: boolean) => Promise<ChangeResult<Restored>>;

export function createRestore(store: Store, log: Log): Restore {
  return async (backup, force) => {
    const done = await store.write(async (writer) => {
      const { length } = await writer.apps.list();
      if (length > 0 && !force) return { inUse: length };
      await writer.replaceContent(contentOf(backup));
      return { generation: await writer.raiseGeneration(backup.generation) };
    });
    if ("inUse" in done) {
      const problem = `the store is in use (${done.inUse} app(s)): nothing was changed; --force replaces everything in it`;
      return { ok: false, status: 409, problem };
    }
    const facts = { apps: backup.apps.length, keys: backup.keys.length, generation: done.generation };
    log.warn(
      { backup: backup.createdAt, ...facts },
      "THE STORE WAS RESTORED FROM A BACKUP: keys made, tokens revoked, and apps, services and policies changed after " +
        "it are lost, and credentials revoked after it are good again; tokens signed by lost keys are refused, and " +
        "every signer is replaced as soon as a core runs on it",
    );
    return { ok: true, value: facts };
  };
}

/**
 * Notices a store that was restored behind a running instance's back: its order went back. Such a store would give
 * out numbers that verifiers have seen with another content, so it gets a new generation, and with it new signers.
 */
export function createNoticeRestore(store: Store, state: InstanceState, log: Log): () => Promise<void> {
  return async () => {
    const { latest } = state;
    if (!isEarlier(state, latest)) return;
    const facts = { seen: latest, found: { generation: state.generation, epoch: state.epoch } };
    const generation = await store.write(async (writer) => {
      if (!isEarlier(await writer.order(), latest)) return undefined; // another instance has seen to it
      return writer.raiseGeneration(latest.generation);
    });
    log.error(facts, "the store went back: it was restored from a backup behind this core's back");
    await state.refresh();
    if (generation !== undefined)
      log.warn({ generation }, "raised the generation after a restore, and every signer is being replaced");
  };
}
