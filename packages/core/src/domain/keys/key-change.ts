import { LIMITS, type Algorithm, type PublishedJwk } from "countersign/protocol";
import type { RefusedChange } from "../change-result.ts";
import { lastSequence, peakOfPublishedKeys, simulatedKey, type CreateStep, type RotationPolicy } from "./rotation.ts";
import { signerOf, successorOf, type KeyKind, type SigningKey } from "./signing-key.ts";

/** The dates of a key that an operator may bring nearer. None ever moves later. */
export type KeyDates = Partial<Pick<SigningKey, "signsFrom" | "signsUntil" | "verifiesUntil" | "revokedAt">>;

/** What an operator changes by hand. */
export interface KeyChange {
  readonly updates: readonly KeyUpdate[];
  /** A key to make, or the one that was imported. */
  readonly create: CreateStep | undefined;
}

export interface KeyUpdate {
  readonly kid: string;
  readonly dates: KeyDates;
}

export const TOO_MANY_KEYS = `more than ${LIMITS.jwksKeys} keys would be published: end or revoke old ones first`;

/** Decides on a change from the keys of one app. Pure: it is asked again under the store's lock. */
export type DecideChange = (
  keys: readonly SigningKey[],
  policy: RotationPolicy,
  now: number,
) => KeyChange | RefusedChange;

/**
 * Replaces a signer by hand. A static key gets a successor that is published for the lead before it signs; of dynamic
 * ones the prepared successor's turn comes as soon as it has been published for so long.
 *
 * @param keepUntil until when the old static key verifies, milliseconds since the epoch; null: for ever
 */
export function rotateSigner(kind: KeyKind, algorithm: Algorithm, keepUntil: number | null): DecideChange {
  return (keys, policy, now) => {
    const signer = signerOf(keys, kind, algorithm, now);
    if (signer === undefined || !policy.algorithms.includes(algorithm)) {
      return { status: 404, problem: `this app does not sign with ${algorithm}` };
    }
    const prepared = successorOf(keys, signer, now);
    if (kind === "dynamic") {
      if (keepUntil !== null)
        return { status: 400, problem: "a dynamic key's dates are fixed: only a static one is kept until a date" };
      if (prepared === undefined)
        return { status: 409, problem: "the successor is just being made: try again in a moment" };
      const turn = Math.max(now, prepared.createdAt + policy.lead);
      const updates: KeyUpdate[] = [
        { kid: prepared.kid, dates: { signsFrom: Math.min(prepared.signsFrom, turn) } },
        { kid: signer.kid, dates: { signsUntil: nearer(signer.signsUntil, turn) } },
      ];
      return withinLimit(keys, policy, now, { updates, create: undefined });
    }
    if (prepared !== undefined) {
      return {
        status: 409,
        problem: `a rotation is under way: ${prepared.kid} signs from ${dateOf(prepared.signsFrom)}`,
      };
    }
    return succeed(keys, policy, now, signer, keepUntil);
  };
}

/**
 * Lets a key that was made elsewhere verify here, and sign after the lead where that is asked for. One that was revoked
 * never comes back, under whatever kid.
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
    if (keys.some((key) => key.kid === publicJwk.kid)) return { status: 400, problem: "the kid is taken" };
    if (verifiesUntil !== null && verifiesUntil <= now) return { status: 400, problem: "verifiesUntil has passed" };
    if (signs) {
      if (verifiesUntil !== null) return { status: 400, problem: "a key that signs has no verifiesUntil" };
      const signer = signerOf(keys, "static", algorithm, now);
      if (signer === undefined || !policy.algorithms.includes(algorithm)) {
        return { status: 409, problem: `this app does not sign with ${algorithm}: allow the algorithm first` };
      }
      const prepared = successorOf(keys, signer, now);
      if (prepared !== undefined)
        return { status: 409, problem: `a rotation is under way: ${prepared.kid} is to sign next` };
      return succeed(keys, policy, now, signer, null);
    }
    // Below all others: it verifies, and never becomes the signer.
    const sequence = Math.min(1, ...keys.map((key) => key.sequence)) - 1;
    const dates = { signsFrom: now, signsUntil: now, verifiesUntil };
    return withinLimit(keys, policy, now, {
      updates: [],
      create: { type: "create", kind: "static", algorithm, sequence, ...dates },
    });
  };
}

/** Takes a key out of the set at once. Its successor, where one is prepared, signs from now on. */
export function revokeKey(kid: string): DecideChange {
  return (keys, _policy, now) => {
    const key = keys.find((one) => one.kid === kid);
    if (key === undefined || key.revokedAt !== null)
      return { status: 404, problem: "there is no key of that kid to revoke" };
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
  const turn = now + policy.lead;
  // A second later at least: the last tokens it signs must not be over when they are issued.
  if (keepUntil !== null && keepUntil < turn + 1000) {
    return { status: 400, problem: `the old key signs until ${dateOf(turn)}: keep it until later, or revoke it` };
  }
  if ((keepUntil ?? Infinity) > (signer.verifiesUntil ?? Infinity)) {
    return {
      status: 400,
      problem: `the key verifies until ${dateOf(signer.verifiesUntil!)}: no date of a key moves later`,
    };
  }
  const sequence = lastSequence(keys, kind, algorithm) + 1;
  return withinLimit(keys, policy, now, {
    updates: [{ kid: signer.kid, dates: { signsUntil: nearer(signer.signsUntil, turn), verifiesUntil: keepUntil } }],
    create: { type: "create", kind, algorithm, sequence, signsFrom: turn, signsUntil: null, verifiesUntil: null },
  });
}

/** A change that lets the published set outgrow what verifiers read is refused, however it would come to that. */
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

/** The keys as they are after the updates. */
export function applyUpdates(keys: readonly SigningKey[], updates: readonly KeyUpdate[]): SigningKey[] {
  return keys.map((key) => ({ ...key, ...updates.find((update) => update.kid === key.kid)?.dates }));
}

function isSameKey(a: PublishedJwk, b: PublishedJwk): boolean {
  return (["kty", "crv", "n", "e", "x", "y"] as const).every((member) => a[member] === b[member]);
}

function nearer(date: number | null, other: number): number {
  return Math.min(date ?? Infinity, other);
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString();
}
