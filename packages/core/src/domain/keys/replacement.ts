import { applyUpdates, rotateSigner, type KeyUpdate } from "./key-change.ts";
import { isRefused, type RefusedChange } from "../change-result.ts";
import { simulatedKey, type CreateStep, type RotationPolicy } from "./rotation.ts";
import { signerOf, successorOf, type SigningKey } from "./signing-key.ts";

/** The changes that replace all active signing keys of an app. */
export interface Replacement {
  readonly updates: readonly KeyUpdate[];
  readonly creates: readonly CreateStep[];
}

/**
 * Replaces all active signing keys of an app after a restore. Successors are published for the full lead time from now,
 * even if they were published before the backup, because verifiers might have fetched key sets without them since then.
 * Leaves static keys alone whose rotation is already in progress.
 *
 * @param keys of one app, including the keys that `planRotation` creates
 */
export function replaceSigners(
  keys: readonly SigningKey[],
  policy: RotationPolicy,
  now: number,
): Replacement | RefusedChange {
  let after: readonly SigningKey[] = keys.map((key) => ({ ...key, createdAt: now }));
  const updates: KeyUpdate[] = [];
  const creates: CreateStep[] = [];
  for (const algorithm of policy.algorithms) {
    for (const kind of ["static", "dynamic"] as const) {
      const signer = signerOf(after, kind, algorithm, now);
      if (kind === "static" && signer !== undefined && successorOf(after, signer, now) !== undefined) continue;
      const decided = rotateSigner(kind, algorithm, null)(after, policy, now);
      if (isRefused(decided)) return decided;
      updates.push(...decided.updates);
      after = applyUpdates(after, decided.updates);
      if (decided.create === undefined) continue;
      creates.push(decided.create);
      after = [...after, simulatedKey(decided.create, now)];
    }
  }
  return { updates, creates };
}
