import { LIMITS, type Algorithm, type PublishedJwk } from "countersign/protocol";
import type { RefusedChange } from "../change-result.ts";
import { lastSequence, peakOfPublishedKeys, simulatedKey, type CreateStep, type RotationPolicy } from "./rotation.ts";
import { signerOf, successorOf, type KeyKind, type SigningKey } from "./signing-key.ts";

/** The dates of a key that an administrator can move earlier. They never move later. */
export type KeyDates = Partial<Pick<SigningKey, "signsFrom" | "signsUntil" | "verifiesUntil" | "revokedAt">>;

/** A manual change. */
export interface KeyChange {
  readonly updates: readonly KeyUpdate[];
  /** A key to generate or to import. */
  readonly create: CreateStep | undefined;
}

export interface KeyUpdate {
  readonly kid: string;
  readonly dates: KeyDates;
}

export const TOO_MANY_KEYS = `more than ${LIMITS.jwksKeys} keys would be published; retire or revoke old keys first`;

/** Decides on a change from the keys of one app. Pure, because it runs again under the store's lock. */
export type DecideChange = (
  keys: readonly SigningKey[],
  policy: RotationPolicy,
  now: number,
) => KeyChange | RefusedChange;

/**
 * Replaces an active signing key manually. A static key gets a successor that is published for the lead time before it
 * signs. A dynamic key already has one, which signs as soon as it has been published for the lead time.
 *
 * @param keepUntil when the old static key stops verifying, milliseconds since the epoch; null: never
 */
export function rotateSigner(kind: KeyKind, algorithm: Algorithm, keepUntil: number | null): DecideChange {
  return (keys, policy, now) => {
    const signer = signerOf(keys, kind, algorithm, now);
    if (signer === undefined || !policy.algorithms.includes(algorithm)) {
      return { status: 404, problem: `this app does not sign with ${algorithm}` };
    }
    const prepared = successorOf(keys, signer, now);
    if (kind === "dynamic") {
      if (keepUntil !== null) return { status: 400, problem: "keepUntil: only a static key can be kept until a date" };
      if (prepared === undefined)
        return { status: 409, problem: "the next key is not available yet; try again in a few seconds" };
      const activatesAt = Math.max(now, prepared.createdAt + policy.lead);
      const updates: KeyUpdate[] = [
        { kid: prepared.kid, dates: { signsFrom: Math.min(prepared.signsFrom, activatesAt) } },
        { kid: signer.kid, dates: { signsUntil: earlier(signer.signsUntil, activatesAt) } },
      ];
      return withinLimit(keys, policy, now, { updates, create: undefined });
    }
    if (prepared !== undefined) {
      return {
        status: 409,
        problem: `a rotation is in progress: ${prepared.kid} signs from ${dateOf(prepared.signsFrom)}`,
      };
    }
    return succeed(keys, policy, now, signer, keepUntil);
  };
}

/**
 * Imports a key that verifies immediately and, if `signs` is set, signs after the lead time. A revoked key cannot be
 * imported again, under any kid.
 */
export function addImported(
  algorithm: Algorithm,
  publicJwk: PublishedJwk,
  signs: boolean,
  verifiesUntil: number | null,
): DecideChange {
  return (keys, policy, now) => {
    if (keys.some((key) => key.revokedAt !== null && isSameKey(key.publicJwk, publicJwk)))
      return { status: 409, problem: "this key has been revoked" };
    if (keys.some((key) => key.kid === publicJwk.kid)) return { status: 400, problem: "kid: already in use" };
    if (verifiesUntil !== null && verifiesUntil <= now)
      return { status: 400, problem: "verifiesUntil: must be in the future" };
    if (signs) {
      if (verifiesUntil !== null) return { status: 400, problem: "verifiesUntil: cannot be set for a key that signs" };
      const signer = signerOf(keys, "static", algorithm, now);
      if (signer === undefined || !policy.algorithms.includes(algorithm)) {
        return { status: 409, problem: `this app does not sign with ${algorithm}; allow the algorithm first` };
      }
      const prepared = successorOf(keys, signer, now);
      if (prepared !== undefined)
        return { status: 409, problem: `a rotation is in progress: ${prepared.kid} signs next` };
      return succeed(keys, policy, now, signer, null);
    }
    // A sequence below 1 only verifies and never signs.
    const sequence = Math.min(1, ...keys.map((key) => key.sequence)) - 1;
    const dates = { signsFrom: now, signsUntil: now, verifiesUntil };
    return withinLimit(keys, policy, now, {
      updates: [],
      create: { type: "create", kind: "static", algorithm, sequence, ...dates },
    });
  };
}

/** Removes a key from the key set immediately. If it signs, its prepared successor takes over. */
export function revokeKey(kid: string): DecideChange {
  return (keys, _policy, now) => {
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined || key.revokedAt !== null)
      return { status: 404, problem: "key not found, or already revoked" };
    const updates: KeyUpdate[] = [{ kid, dates: { revokedAt: now } }];
    const signer = signerOf(keys, key.kind, key.algorithm, now);
    const prepared = signer === key ? successorOf(keys, key, now) : undefined;
    if (prepared !== undefined) updates.push({ kid: prepared.kid, dates: { signsFrom: now } });
    return { updates, create: undefined };
  };
}

function succeed(
  keys: readonly SigningKey[],
  policy: RotationPolicy,
  now: number,
  signer: SigningKey,
  keepUntil: number | null,
): KeyChange | RefusedChange {
  const { kind, algorithm } = signer;
  const activatesAt = now + policy.lead;
  // At least a second later: the last tokens of the old key must not be issued as expired.
  if (keepUntil !== null && keepUntil < activatesAt + 1000) {
    const problem = `keepUntil: the old key signs until ${dateOf(activatesAt)}; keep it longer, or revoke it`;
    return { status: 400, problem };
  }
  if ((keepUntil ?? Infinity) > (signer.verifiesUntil ?? Infinity)) {
    const problem = `keepUntil: the key verifies until ${dateOf(signer.verifiesUntil!)}; a key's dates never move later`;
    return { status: 400, problem };
  }
  const sequence = lastSequence(keys, kind, algorithm) + 1;
  return withinLimit(keys, policy, now, {
    updates: [
      { kid: signer.kid, dates: { signsUntil: earlier(signer.signsUntil, activatesAt), verifiesUntil: keepUntil } },
    ],
    create: {
      type: "create",
      kind,
      algorithm,
      sequence,
      signsFrom: activatesAt,
      signsUntil: null,
      verifiesUntil: null,
    },
  });
}

/** Rejects a change if the key set would ever have more keys than verifiers read. */
function withinLimit(
  keys: readonly SigningKey[],
  policy: RotationPolicy,
  now: number,
  change: KeyChange,
): KeyChange | RefusedChange {
  const after = applyUpdates(keys, change.updates);
  if (change.create !== undefined) after.push(simulatedKey(change.create, now));
  if (peakOfPublishedKeys(after, policy, now) <= LIMITS.jwksKeys) return change;
  return { status: 409, problem: TOO_MANY_KEYS };
}

export function applyUpdates(keys: readonly SigningKey[], updates: readonly KeyUpdate[]): SigningKey[] {
  return keys.map((key) => ({ ...key, ...updates.find((update) => update.kid === key.kid)?.dates }));
}

function isSameKey(a: PublishedJwk, b: PublishedJwk): boolean {
  return (["kty", "crv", "n", "e", "x", "y"] as const).every((member) => a[member] === b[member]);
}

function earlier(date: number | null, other: number): number {
  return Math.min(date ?? Infinity, other);
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString();
}
