import { applyUpdates, rotateSigner, type KeyUpdate } from "./key-change.ts";
import { isRefused, type RefusedChange } from "../change-result.ts";
import { simulatedKey, type CreateStep, type RotationPolicy } from "./rotation.ts";
import { signerOf, successorOf, type SigningKey } from "./signing-key.ts";

/** What has to be done for every signer of an app to be replaced. */
export interface Replacement {
  readonly updates: readonly KeyUpdate[];
  readonly creates: readonly CreateStep[];
}

/**
 * Replaces every signer of an app, as after a restore. A restored store does not know who has seen which of its keys, so
 * that a successor is published for a whole lead from now, even where the backup says that it was published before. A
 * static key whose rotation is under way already is left alone.
 *
 * @param keys of one app, with what the plan asks for already among them
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
