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
 * Restores a backup into the store atomically, with a new generation. Overwrites a non-empty store only with `force`.
 * Marks the replacement of all active signing keys as due: the next core that polls the store does it, by its own policy.
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
      const problem = `store is not empty (${done.inUse} app${done.inUse === 1 ? "" : "s"}), nothing changed; pass --force to overwrite it`;
      return { ok: false, status: 409, problem };
    }
    const facts = { apps: backup.apps.length, keys: backup.keys.length, generation: done.generation };
    const hint = "revocations made after the backup are lost; revoke those credentials, keys and tokens again";
    log.warn({ backup: backup.createdAt, ...facts, hint }, "store restored from backup");
    return { ok: true, value: facts };
  };
}

/**
 * Detects that the store was rolled back while this instance ran. Such a store would reuse revocation feed numbers that
 * verifiers have seen with other content, so it gets a new generation and new active signing keys.
 */
export function createNoticeRestore(store: Store, state: InstanceState, log: Log): () => Promise<void> {
  return async () => {
    const { latest } = state;
    if (!isEarlier(state, latest)) return;
    const facts = { seen: latest, found: { generation: state.generation, epoch: state.epoch } };
    const generation = await store.write(async (writer) => {
      if (!isEarlier(await writer.order(), latest)) return undefined; // another instance has raised it
      return writer.raiseGeneration(latest.generation);
    });
    log.error(facts, "store rollback detected");
    await state.refresh();
    if (generation !== undefined) log.warn({ generation }, "generation raised, replacing all active signing keys");
  };
}
