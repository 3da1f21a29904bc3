import { ALGORITHMS, LIMITS, type Algorithm } from "countersign/protocol";
import { isLive, nextChangeOf, signerOf, successorOf, type KeyKind, type SigningKey } from "./signing-key.ts";

/** When keys change. All durations in milliseconds. */
export interface RotationPolicy {
  /** How long a key is published before it signs. */
  readonly lead: number;
  /** How long a dynamic key signs. */
  readonly period: number;
  /** How long a dynamic key verifies after it has signed. */
  readonly hold: number;
  /** How long anyone may keep the key set; the core and a front may each do so. */
  readonly jwksMaxAge: number;
  /** How long an instance may take to see another's change. */
  readonly instanceRefresh: number;
  /** How far a verifier's clock may be off, either way. */
  readonly clockSkew: number;
  /** What the core signs with. */
  readonly algorithms: readonly Algorithm[];
}

const SECOND = 1000;
const DAY = 86_400 * SECOND;
/** Beyond it, dates of keys could not be written down. */
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
 * Why a policy cannot keep the promise that no verifier meets an unknown key, and that no set outgrows
 * what verifiers read. Each line carries its arithmetic. Empty: it can.
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
      `period ${seconds(period)} is shorter than lead ${seconds(lead)}: a successor could not be ready in time`,
    );
  }
  // A successor that was revoked, or is late, is made anew and published for the lead: so long the old key must last.
  if (hold < lead + instanceRefresh) {
    problems.push(
      `hold ${seconds(hold)} is shorter than lead ${seconds(lead)} + instance refresh ${seconds(instanceRefresh)}: ` +
        "a key could end before its successor may sign",
    );
  }
  // Per algorithm: one static key, the dynamic signer, its successor, and what is still held.
  const published = algorithms.length * (3 + Math.ceil(hold / Math.max(period, 1)));
  if (published > LIMITS.jwksKeys) {
    problems.push(
      `${algorithms.length} algorithm(s) x (3 + hold ${seconds(hold)} / period ${seconds(period)}) = ${published} ` +
        `published keys, more than ${LIMITS.jwksKeys}`,
    );
  }
  return problems;
}

/** Whether caches may hand out a set for another max-age while they fetch: twice as old, it must still know every signer. */
export function allowsStaleWhileRevalidate(policy: RotationPolicy): boolean {
  return policy.lead >= neededLead({ ...policy, jwksMaxAge: 2 * policy.jwksMaxAge });
}

/** How long until every verifier that follows the cache header knows a new key: the core and a front each cache. */
function neededLead({ jwksMaxAge, instanceRefresh, clockSkew }: RotationPolicy): number {
  return 2 * jwksMaxAge + instanceRefresh + 2 * clockSkew;
}

/** A key to make, with the dates it will have. */
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
 * What has to be done to the keys of one app. Pure: whoever runs it under the store's lock with the
 * same keys gets the same steps. A revoked key is never removed: its row keeps it from coming back.
 *
 * @param now milliseconds by the store's clock
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
 * Why a policy cannot follow on the keys that are stored, whose dates it cannot change. Empty: it can.
 *
 * @param keys of one app
 */
export function problemsOfStoredKeys(keys: readonly SigningKey[], policy: RotationPolicy, now: number): string[] {
  const problems: string[] = [];
  const peak = peakOfPublishedKeys(keys, policy, now);
  if (peak > LIMITS.jwksKeys) {
    problems.push(
      `counting the stored ones, ${peak} keys would be published, more than ${LIMITS.jwksKeys}: ` +
        "revoke old ones ('countersign keys revoke', which needs no running core), or shorten hold",
    );
  }
  const needed = policy.lead + policy.instanceRefresh;
  for (const { kid, signsUntil, verifiesUntil, ...key } of keys) {
    if (signsUntil === null || verifiesUntil === null || now >= signsUntil || key.revokedAt !== null) continue;
    if (key.kind === "dynamic" && verifiesUntil - signsUntil < needed) {
      problems.push(
        `the stored key ${kid} verifies for ${(verifiesUntil - signsUntil) / SECOND} s after it has signed, shorter than ` +
          `lead ${policy.lead / SECOND} s + instance refresh ${policy.instanceRefresh / SECOND} s: lengthen the lead when it has left`,
      );
    }
  }
  return problems;
}

/**
 * The most keys that will be published, found by doing what the plan will do: of each kind and algorithm the most at
 * once, as revoking a key shifts its line against the others, and is never refused. New keys follow on the stored ones;
 * two of their lives later as many leave as come, while stored ones only leave.
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
      const line = `${key.kind} ${key.algorithm}`;
      const count = (counts.get(line) ?? 0) + 1;
      counts.set(line, count);
      if (count > (peaks.get(line) ?? 0)) {
        peaks.set(line, count);
        peak++;
      }
    }
  }
  return peak;
}

/** A key as a step will make it, for looking ahead. */
export function simulatedKey(create: CreateStep, at: number): SigningKey {
  const { type: _, ...step } = create;
  const kid = `${step.kind} ${step.algorithm} ${step.sequence}`;
  const publicJwk = { kty: "", kid, alg: step.algorithm, use: "sig" as const };
  return { ...step, appId: "", kid, createdAt: at, revokedAt: null, publicJwk };
}

/** A static key needs a successor only where an operator has given it an end, and the prepared one was revoked. */
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
  const signsFrom = signer === undefined ? now : turnAfter(signer, now + lead);
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
  // What takes the place of a revoked key has its time, so that no more keys follow than would have without it.
  let atLeastUntil = last === undefined || last.revokedAt === null ? 0 : (last.signsUntil ?? 0);
  const create = (signsFrom: number) => {
    const signsUntil = Math.max(signsFrom + period, atLeastUntil);
    atLeastUntil = 0;
    const dates = { signsFrom, signsUntil, verifiesUntil: signsUntil + hold };
    steps.push({ type: "create", kind: "dynamic", algorithm, sequence: ++sequence, ...dates });
    return signsUntil;
  };

  // With nothing to sign with, the first key signs at once; every other key is published before its turn.
  const signer = signerOf(keys, "dynamic", algorithm, now);
  if (signer === undefined) create(create(now));
  else if (successorOf(keys, signer, now) === undefined) {
    create(turnAfter(signer, Math.max(signer.signsUntil ?? now, now + lead)));
  }
  return steps;
}

/** Nobody can sign with a key that has ended: a successor that was made too late for its lead takes over then. */
function turnAfter({ verifiesUntil }: SigningKey, wanted: number): number {
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
