import { ALGORITHMS, LIMITS, type Algorithm } from "countersign/protocol";
import { isLive, nextChangeOf, signerOf, successorOf, type KeyKind, type SigningKey } from "./signing-key.ts";

/** When keys change. All durations in milliseconds. */
export interface RotationPolicy {
  /** How long a key is published before it signs. */
  readonly lead: number;
  /** How long a dynamic key signs. */
  readonly period: number;
  /** How long a dynamic key verifies after it stops signing. */
  readonly hold: number;
  /** How long caches keep the key set; the core and a front can each cache it. */
  readonly jwksMaxAge: number;
  /** How long an instance can take to notice a change by another. */
  readonly instanceRefresh: number;
  /** How far a verifier's clock can be off, in either direction. */
  readonly clockSkew: number;
  /** The signing algorithms. */
  readonly algorithms: readonly Algorithm[];
}

const SECOND = 1000;
const DAY = 86_400 * SECOND;
/** Longer durations would exceed the range of dates. */
const LONGEST = LIMITS.validity * SECOND;

export const DEFAULT_ROTATION: RotationPolicy = Object.freeze({
  lead: 600 * SECOND,
  period: 7 * DAY,
  hold: 30 * DAY,
  jwksMaxAge: 60 * SECOND,
  instanceRefresh: 5 * SECOND,
  clockSkew: 30 * SECOND,
  algorithms: Object.freeze(["RS256", "ES256"] as const),
});

/**
 * Returns why a policy cannot guarantee that verifiers know every signing key in time and that key sets stay within the
 * verifiers' limit. Each text contains its calculation. Empty: the policy is valid.
 */
export function problemsOfRotationPolicy(policy: RotationPolicy): string[] {
  const { lead, period, hold, jwksMaxAge, instanceRefresh, clockSkew, algorithms } = policy;
  const durations = { lead, period, hold, jwksMaxAge, instanceRefresh, clockSkew };
  const problems: string[] = [];
  for (const [name, value] of Object.entries(durations)) {
    if (!(value >= 0 && value <= LONGEST)) {
      problems.push(`${name}: expected milliseconds from 0 to ${LONGEST} (100 years), got ${value}`);
    }
  }
  const known = algorithms.filter((algorithm) => ALGORITHMS.includes(algorithm));
  if (known.length === 0 || known.length < algorithms.length || new Set(known).size < known.length) {
    problems.push(`algorithms: expected some of ${ALGORITHMS.join(", ")}, each once`);
  }
  if (problems.length > 0) return problems;

  const seconds = (ms: number) => `${ms / SECOND} s`;
  const needed = neededLead(policy);
  if (lead < needed) {
    problems.push(
      `lead ${seconds(lead)} is shorter than 2 x JWKS max-age ${seconds(jwksMaxAge)} + instance refresh ` +
        `${seconds(instanceRefresh)} + 2 x clock skew ${seconds(clockSkew)} = ${seconds(needed)}`,
    );
  }
  if (period <= 0 || period < lead) {
    problems.push(
      `period ${seconds(period)} is shorter than lead ${seconds(lead)}: a successor would not be published in time`,
    );
  }
  // If a successor is revoked or late, a new one is published for the lead time, and the old key must verify until then.
  if (hold < lead + instanceRefresh) {
    problems.push(
      `hold ${seconds(hold)} is shorter than lead ${seconds(lead)} + instance refresh ${seconds(instanceRefresh)}: ` +
        "a key could expire before its successor signs",
    );
  }
  // Per algorithm: a static key, the active dynamic key, its successor, and retired keys.
  const published = algorithms.length * (3 + Math.ceil(hold / Math.max(period, 1)));
  if (published > LIMITS.jwksKeys) {
    problems.push(
      `${algorithms.length} algorithm(s) x (3 + hold ${seconds(hold)} / period ${seconds(period)}) = ${published} ` +
        `published keys, more than ${LIMITS.jwksKeys}`,
    );
  }
  return problems;
}

/** Reports whether caches can serve a stale key set for another max-age: it must still contain every signing key. */
export function allowsStaleWhileRevalidate(policy: RotationPolicy): boolean {
  return policy.lead >= neededLead({ ...policy, jwksMaxAge: 2 * policy.jwksMaxAge });
}

/** Returns how long it takes until every verifier that follows the cache header knows a new key. */
function neededLead({ jwksMaxAge, instanceRefresh, clockSkew }: RotationPolicy): number {
  return 2 * jwksMaxAge + instanceRefresh + 2 * clockSkew;
}

/** A key to generate, with its dates. */
export interface CreateStep {
  readonly type: "create";
  readonly kind: KeyKind;
  readonly algorithm: Algorithm;
  readonly sequence: number;
  readonly signsFrom: number;
  readonly signsUntil: number | null;
  readonly verifiesUntil: number | null;
}

export type RotationStep = CreateStep | { readonly type: "remove"; readonly kid: string };

/**
 * Plans the changes to the keys of one app. Pure: every instance plans the same steps from the same keys. Never removes
 * a revoked key, because its row prevents a new import.
 *
 * @param now milliseconds since the epoch by the store's clock
 */
export function planRotation(keys: readonly SigningKey[], policy: RotationPolicy, now: number): RotationStep[] {
  const steps: RotationStep[] = [];
  for (const algorithm of policy.algorithms) {
    steps.push(...planStatic(keys, algorithm, policy, now), ...planDynamic(keys, algorithm, policy, now));
  }
  for (const key of keys) {
    if (key.revokedAt === null && !isLive(key, now)) steps.push({ type: "remove", kid: key.kid });
  }
  return steps;
}

/**
 * Returns why a policy does not fit the stored keys, whose dates it cannot change. Empty: it fits.
 *
 * @param keys of one app
 */
export function problemsOfStoredKeys(keys: readonly SigningKey[], policy: RotationPolicy, now: number): string[] {
  const problems: string[] = [];
  const peak = peakOfPublishedKeys(keys, policy, now);
  if (peak > LIMITS.jwksKeys) {
    problems.push(
      `with the stored keys, ${peak} keys would be published, more than ${LIMITS.jwksKeys}; ` +
        "revoke old keys ('countersign keys revoke', works without a running core), or shorten hold",
    );
  }
  const needed = policy.lead + policy.instanceRefresh;
  for (const { kid, signsUntil, verifiesUntil, ...key } of keys) {
    if (signsUntil === null || verifiesUntil === null || now >= signsUntil || key.revokedAt !== null) continue;
    if (key.kind === "dynamic" && verifiesUntil - signsUntil < needed) {
      problems.push(
        `the stored key ${kid} verifies for ${(verifiesUntil - signsUntil) / SECOND} s after it stops signing, less than ` +
          `lead ${policy.lead / SECOND} s + instance refresh ${policy.instanceRefresh / SECOND} s; ` +
          "lengthen the lead after this key has expired",
      );
    }
  }
  return problems;
}

/**
 * Returns the highest number of keys that will be published at a time, by simulating the plan. Sums the peaks of all
 * kinds and algorithms, because revocations, which are never rejected, can shift their schedules against each other.
 * After the stored keys and two lifetimes of new ones, the number no longer grows.
 */
export function peakOfPublishedKeys(keys: readonly SigningKey[], policy: RotationPolicy, now: number): number {
  const last = Math.max(now, ...keys.map((key) => key.signsUntil ?? now));
  const horizon = last + 2 * (policy.period + policy.hold) + policy.lead;
  let simulated = [...keys];
  const peaks = new Map<string, number>();
  let peak = 0;
  for (let at = now; at <= horizon && peak <= LIMITS.jwksKeys; at = nextChangeOf(simulated, at)) {
    for (const step of planRotation(simulated, policy, at)) {
      if (step.type === "remove") simulated = simulated.filter((key) => key.kid !== step.kid);
      else simulated.push(simulatedKey(step, at));
    }
    const counts = new Map<string, number>();
    for (const key of simulated) {
      if (!isLive(key, at)) continue;
      const schedule = `${key.kind} ${key.algorithm}`;
      const count = (counts.get(schedule) ?? 0) + 1;
      counts.set(schedule, count);
      if (count > (peaks.get(schedule) ?? 0)) {
        peaks.set(schedule, count);
        peak++;
      }
    }
  }
  return peak;
}

/** Returns the key that a step will create, for simulations. */
export function simulatedKey(create: CreateStep, at: number): SigningKey {
  const { type: _, ...step } = create;
  const kid = `${step.kind} ${step.algorithm} ${step.sequence}`;
  const publicJwk = { kty: "", kid, alg: step.algorithm, use: "sig" as const };
  return { ...step, appId: "", kid, createdAt: at, revokedAt: null, publicJwk };
}

/** A static key needs a successor only if it has an expiry date and its prepared successor was revoked. */
function planStatic(
  keys: readonly SigningKey[],
  algorithm: Algorithm,
  { lead }: RotationPolicy,
  now: number,
): CreateStep[] {
  const signer = signerOf(keys, "static", algorithm, now);
  const lasts = signer !== undefined && (signer.verifiesUntil === null || successorOf(keys, signer, now) !== undefined);
  if (lasts) return [];
  const sequence = lastSequence(keys, "static", algorithm) + 1;
  const signsFrom = signer === undefined ? now : activationAfter(signer, now + lead);
  return [{ type: "create", kind: "static", algorithm, sequence, signsFrom, signsUntil: null, verifiesUntil: null }];
}

function planDynamic(
  keys: readonly SigningKey[],
  algorithm: Algorithm,
  { lead, period, hold }: RotationPolicy,
  now: number,
): CreateStep[] {
  const steps: CreateStep[] = [];
  const last = lastOf(keys, "dynamic", algorithm);
  let sequence = last?.sequence ?? 0;
  // The replacement of a revoked key signs until the same date, so that revocations do not add keys to the schedule.
  let atLeastUntil = last === undefined || last.revokedAt === null ? 0 : (last.signsUntil ?? 0);
  const create = (signsFrom: number) => {
    const signsUntil = Math.max(signsFrom + period, atLeastUntil);
    atLeastUntil = 0;
    const dates = { signsFrom, signsUntil, verifiesUntil: signsUntil + hold };
    steps.push({ type: "create", kind: "dynamic", algorithm, sequence: ++sequence, ...dates });
    return signsUntil;
  };

  // Without a signing key, the first key signs immediately. Every other key is published before it signs.
  const signer = signerOf(keys, "dynamic", algorithm, now);
  if (signer === undefined) create(create(now));
  else if (successorOf(keys, signer, now) === undefined) {
    create(activationAfter(signer, Math.max(signer.signsUntil ?? now, now + lead)));
  }
  return steps;
}

/**
 * Caps the activation time at the predecessor's expiry, even if the new key has not been published for the full lead
 * time.
 */
function activationAfter({ verifiesUntil }: SigningKey, wanted: number): number {
  return Math.min(verifiesUntil ?? Infinity, wanted);
}

export function lastSequence(keys: readonly SigningKey[], kind: KeyKind, algorithm: Algorithm): number {
  return lastOf(keys, kind, algorithm)?.sequence ?? 0;
}

function lastOf(keys: readonly SigningKey[], kind: KeyKind, algorithm: Algorithm): SigningKey | undefined {
  let last: SigningKey | undefined;
  for (const key of keys) {
    if (key.kind !== kind || key.algorithm !== algorithm || key.sequence < 1) continue;
    if (last === undefined || key.sequence > last.sequence) last = key;
  }
  return last;
}
