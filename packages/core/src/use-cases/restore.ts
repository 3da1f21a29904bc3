import { DEFAULT_APP } from "../domain/app.ts";
import { rotateSigner, type DecideChange } from "../domain/key-change.ts";
import type { KeyKind } from "../domain/signing-key.ts";
import { isEarlier, type Store } from "../ports/store.ts";
import { keysIn, type Backup } from "./backup.ts";
import type { KeyRing } from "./key-ring.ts";
import type { Log } from "./log.ts";
import type { Managed } from "./manage-keys.ts";
import type { RotateKeys } from "./rotate-keys.ts";

interface Parts {
  readonly store: Store;
  readonly keyRing: KeyRing;
  readonly rotateKeys: RotateKeys;
  readonly log: Log;
}

export interface Restored {
  readonly apps: number;
  readonly keys: number;
  readonly generation: number;
}

/**
 * Puts the content of a backup into the store, all of it or nothing, in a generation that nobody has seen. What the
 * store had is replaced where `force` says so; else only an empty store is taken.
 */
export type Restore = (backup: Backup, force: boolean) => Promise<Managed<Restored>>;

export function createRestore(parts: Parts): Restore {
  const { store, keyRing, log } = parts;
  return async (backup, force) => {
    const found = await store.write(async (writer) => {
      const apps = await writer.apps();
      if (apps.length > 0 && !force) return apps.length;
      await writer.clear();
      for (const { appId, ...facts } of backup.apps) await writer.insertApp(appId, facts);
      for (const key of keysIn(backup)) await writer.insertKey(key);
      for (const token of backup.revokedTokens) await writer.upsertRevokedToken(token);
      for (const service of backup.revokedServices) await writer.upsertRevokedService(service);
      await writer.raiseGeneration(backup.generation);
      return 0;
    });
    if (found > 0) {
      const problem = `the store is in use (${found} app(s)): nothing was changed; --force replaces everything in it`;
      return { ok: false, status: 409, problem };
    }
    await keyRing.refresh();
    await forceRotation(parts);
    const { generation } = keyRing;
    log.warn(
      { backup: backup.createdAt, generation, apps: backup.apps.length, keys: backup.keys.length },
      "THE STORE WAS RESTORED FROM A BACKUP: keys made, tokens revoked and apps changed after it are lost; " +
        "tokens signed by lost keys are refused, and every signer is being replaced",
    );
    return { ok: true, value: { apps: backup.apps.length, keys: backup.keys.length, generation } };
  };
}

/**
 * Notices a store that was restored behind a running instance's back: its order went back. Such a store would give
 * out numbers that verifiers have seen with another content, so it gets a new generation and new signers.
 */
export function createNoticeRestore(parts: Parts): () => Promise<void> {
  const { store, keyRing, log, rotateKeys } = parts;
  return async () => {
    const { latest } = keyRing;
    if (!isEarlier(keyRing, latest)) return;
    const facts = { seen: latest, found: { generation: keyRing.generation, epoch: keyRing.epoch } };
    const noticedFirst = await store.write(async (writer) => {
      if (!isEarlier(await writer.order(), latest)) return false; // another instance has seen to it
      await writer.raiseGeneration(latest.generation);
      return true;
    });
    log.error(facts, "the store went back: it was restored from a backup behind this core's back");
    await keyRing.refresh();
    if (!noticedFirst) return;
    await rotateKeys.provisionApp(DEFAULT_APP);
    await forceRotation(parts);
    const { generation } = keyRing;
    log.warn({ generation }, "raised the generation after a restore, and every signer is being replaced");
  };
}

/**
 * Begins to replace every signer. A restored store does not know who has seen which of its keys, so that the successor
 * is published for a whole lead from now, even where the backup says that it was published before.
 */
async function forceRotation({ keyRing, rotateKeys, log }: Omit<Parts, "store">): Promise<void> {
  await rotateKeys.rotateAll(); // of an old backup, the successors first
  for (const appId of keyRing.appIds()) {
    for (const algorithm of keyRing.policyOf(appId).algorithms) {
      for (const kind of ["static", "dynamic"] as const) {
        const refused = await rotateKeys.change(appId, publishedAnew(kind, algorithm));
        // A rotation that is under way already is all that was wanted.
        if (refused !== undefined)
          log.warn({ appId, kind, algorithm, reason: refused.problem }, "no rotation was begun");
      }
    }
  }
}

function publishedAnew(kind: KeyKind, algorithm: Parameters<typeof rotateSigner>[1]): DecideChange {
  const decide = rotateSigner(kind, algorithm, null);
  return (keys, policy, now) =>
    decide(
      keys.map((key) => ({ ...key, createdAt: now })),
      policy,
      now,
    );
}
