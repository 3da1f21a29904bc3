import { expect } from "vitest";
import { ALGORITHMS, LIMITS, type Algorithm } from "countersign/protocol";
import {
  addImported,
  applyUpdates,
  revokeKey,
  rotateSigner,
  type DecideChange,
} from "../../src/domain/keys/key-change.ts";
import { isRefused } from "../../src/domain/change-result.ts";
import {
  planRotation,
  problemsOfStoredKeys,
  type CreateStep,
  type RotationPolicy,
} from "../../src/domain/keys/rotation.ts";
import {
  isLive,
  nextChangeOf,
  publishedKeys,
  signerOf,
  type KeyKind,
  type SigningKey,
} from "../../src/domain/keys/signing-key.ts";
import { buildClaims } from "../../src/domain/tokens/token.ts";
import { NEW_YEAR } from "./clock.ts";
import { keyOfStep, signingKey } from "./keys.ts";

const SECOND = 1000;
const KINDS: readonly KeyKind[] = ["static", "dynamic"];
const DATES = ["signsFrom", "signsUntil", "verifiesUntil", "revokedAt"] as const;

/** An event in the history of a core. `which`: one of the algorithms. */
export type Event =
  /** `lateness`: how late every poll of the keys is, as a part of the instance refresh. */
  | { type: "wait"; seconds: number; lateness: number }
  /** No polls: the store is unavailable, or no instance runs. */
  | { type: "outage"; seconds: number }
  /** The store's clock moves backward. */
  | { type: "setBack"; seconds: number }
  | { type: "restart"; policy: RotationPolicy }
  | { type: "mint"; kind: KeyKind; which: number; validity: number }
  | { type: "rotate"; kind: KeyKind; which: number; keepFor: number | null }
  | { type: "import"; which: number; signs: boolean; verifiesFor: number | null }
  | { type: "revoke"; kind: KeyKind; which: number; role: "signer" | "prepared" | "any" };

/** A core without I/O: its keys, and the tokens they signed. Checks the invariants against the recorded events. */
export class History {
  keys: SigningKey[] = [];
  policy: RotationPolicy;
  /** The store's clock. */
  now = NEW_YEAR;
  /** Elapsed milliseconds, independent of any clock: the time that verifiers have known a published key. */
  #passed = 0;
  /** The latest time so far: verifiers' clocks do not move backward. */
  #latest = NEW_YEAR;
  readonly #publishedAt = new Map<string, number>();
  /** The lead time when a key's activation time was set. */
  readonly #leadOf = new Map<string, number>();
  /** The active signing key, by kind and algorithm. */
  readonly #signers = new Map<string, string>();
  /** The previous signer of each key. */
  readonly #before = new Map<string, string>();
  /** Keys that have begun to sign. */
  readonly #begun = new Set<string>();
  /** Signers revoked after their successor had been published for its lead time. */
  readonly #succeeded = new Set<string>();
  /** By kind and algorithm, when an outage ended or a prepared key was revoked: the earliest time for a new key. */
  readonly #noSooner = new Map<string, Set<number>>();
  #wasSetBack = false;
  #tokens: { kid: string; exp: number }[] = [];
  #made = 0;

  constructor(policy: RotationPolicy) {
    this.policy = policy;
    this.#plan();
  }

  run(event: Event): void {
    const before = this.keys;
    this.#happen(event);
    for (const key of before) {
      const after = this.keys.find((one) => one.kid === key.kid);
      if (after === undefined) continue;
      for (const date of DATES) must((after[date] ?? Infinity) <= (key[date] ?? Infinity), "(f) no date moves later");
    }
  }

  #happen(event: Event): void {
    switch (event.type) {
      case "wait":
        return this.#pass(event.seconds * SECOND, Math.floor(event.lateness * this.policy.instanceRefresh));
      case "outage":
        this.#pass(event.seconds * SECOND, undefined);
        return this.#comeBack(this.policy.algorithms);
      case "setBack":
        this.now -= event.seconds * SECOND;
        this.#wasSetBack = true;
        return this.#plan();
      case "restart": {
        // A core does not start with a configuration that conflicts with stored keys.
        if (problemsOfStoredKeys(this.keys, event.policy, this.now).length > 0) return;
        const added = event.policy.algorithms.filter((one) => !this.policy.algorithms.includes(one));
        this.policy = event.policy;
        return this.#comeBack(added);
      }
      case "mint":
        return this.#mint(event.kind, this.#algorithm(event.which), event.validity);
      case "rotate": {
        const keepUntil = event.keepFor === null ? null : this.now + this.policy.lead + event.keepFor * SECOND;
        return this.#change(rotateSigner(event.kind, this.#algorithm(event.which), keepUntil));
      }
      case "import": {
        const verifiesUntil = event.verifiesFor === null ? null : this.now + event.verifiesFor * SECOND;
        const kid = `imported-${this.#made + 1}`;
        const publicJwk = { ...signingKey({ kid }).publicJwk, n: kid };

        return this.#change(addImported(this.#algorithm(event.which), publicJwk, event.signs, verifiesUntil));
      }
      case "revoke": {
        const key = this.#find(event);
        if (key !== undefined) this.#revoke(key);
      }
    }
  }

  /** Returns, most of the time, a signing algorithm of the app. */
  #algorithm(which: number): Algorithm {
    const { algorithms } = this.policy;
    return algorithms[which] ?? ALGORITHMS[which % ALGORITHMS.length]!;
  }

  #find({ kind, which, role }: Extract<Event, { type: "revoke" }>): SigningKey | undefined {
    if (role === "any") return this.keys[(which * 7) % this.keys.length];
    const algorithm = this.#algorithm(which);
    const signer = signerOf(this.keys, kind, algorithm, this.now);
    if (role === "signer") return signer;
    return this.keys.find(
      (key) =>
        lineOf(key) === `${kind} ${algorithm}` && key.sequence > (signer?.sequence ?? 0) && isLive(key, this.now),
    );
  }

  /**
   * Advances time, stopping at every date.
   *
   * @param lateness milliseconds from a date until the next poll of the keys; undefined: no polls
   */
  #pass(length: number, lateness: number | undefined): void {
    // Ten periods at most: more would only repeat, and cost a plan for every activation.
    const until = this.now + Math.min(length, 10 * this.policy.period);
    let nextPoll = Infinity;
    while (this.now < until) {
      const next = Math.min(until, nextPoll, nextChangeOf(this.keys, this.now));
      this.#passed += next - this.now;
      this.now = next;
      this.#latest = Math.max(this.#latest, next);
      this.#check(lateness !== undefined);
      if (lateness === undefined) continue;
      if (next === nextPoll || next === until) {
        this.#plan();
        nextPoll = Infinity;
      } else {
        nextPoll = Math.min(nextPoll, next + lateness);
      }
    }
  }

  /** Does what an instance does once a second. */
  #plan(): void {
    for (const step of planRotation(this.keys, this.policy, this.now)) {
      if (step.type === "remove") this.keys = this.keys.filter((key) => key.kid !== step.kid);
      else this.#add(step);
    }
    must(planRotation(this.keys, this.policy, this.now).length === 0, "a plan leaves nothing to do");
    this.#check(true);
  }

  #add(step: CreateStep, kid = `${step.kind[0]}-${this.#made}`): void {
    this.#made++;
    this.#publishedAt.set(kid, this.#passed);
    this.#leadOf.set(kid, this.policy.lead);
    this.keys = [...this.keys, { ...keyOfStep(step, this.now), kid }];
    const places = new Set(this.keys.map((key) => `${lineOf(key)} ${key.sequence}`));
    must(places.size === this.keys.length, "no two keys have one place in the sequence");
  }

  #comeBack(algorithms: readonly Algorithm[]): void {
    for (const algorithm of algorithms) for (const kind of KINDS) this.#noteNoSooner(`${kind} ${algorithm}`);
    this.#plan();
  }

  #noteNoSooner(line: string): void {
    this.#noSooner.set(line, (this.#noSooner.get(line) ?? new Set()).add(this.#passed));
  }

  #mint(kind: KeyKind, algorithm: Algorithm, validity: number): void {
    const key = signerOf(this.keys, kind, algorithm, this.now);
    if (key === undefined || !this.policy.algorithms.includes(algorithm)) return;
    const built = buildClaims({ payload: {}, issuer: "https://a.test", validity }, key, this.now, "jti");
    if (!built.ok) throw new Error(built.problem);
    const { iat, exp } = built.claims as { iat: number; exp: number };
    must(exp * SECOND <= (key.verifiesUntil ?? Infinity), "(c) no token outlives its key");
    must(
      iat * SECOND <= this.now && exp <= iat + validity,
      "a token is not from later, and lives no longer than asked",
    );
    must(built.clamped === exp < iat + validity, "a token that ends sooner is told of");
    this.#tokens.push({ kid: key.kid, exp });
  }

  #revoke(key: SigningKey): void {
    const signs = this.#signers.get(lineOf(key)) === key.kid;
    const successors = this.keys.filter(
      (one) => lineOf(one) === lineOf(key) && one.sequence > key.sequence && isLive(one, this.now),
    );
    if (signs && successors.some((one) => this.#isKnown(one))) this.#succeeded.add(key.kid);
    if (!signs) this.#noteNoSooner(lineOf(key));
    this.#change(revokeKey(key.kid));
    const isRevoked = this.keys.some((one) => one.kid === key.kid && one.revokedAt !== null);
    must(isRevoked, "a revocation is never refused, and never forgotten");
  }

  #change(decide: DecideChange): void {
    const decided = decide(this.keys, this.policy, this.now);
    if (isRefused(decided)) return;
    for (const { kid, dates } of decided.updates) {
      // Tokens of a key that an operator ends or revokes do not have to verify.
      const { verifiesUntil = Infinity, revokedAt } = dates;
      const end = revokedAt === undefined ? (verifiesUntil ?? Infinity) : 0;
      this.#tokens = this.#tokens.filter((token) => token.kid !== kid || token.exp * SECOND <= end);
      if (dates.signsFrom !== undefined) {
        this.#leadOf.set(kid, Math.min(this.#leadOf.get(kid)!, this.policy.lead));
      }
    }
    this.keys = applyUpdates(this.keys, decided.updates);
    if (decided.create !== undefined) this.#add(decided.create);
    this.#plan();
  }

  #isKnown(key: SigningKey): boolean {
    return this.#passed - this.#publishedAt.get(key.kid)! >= this.#leadOf.get(key.kid)!;
  }

  /** @param attended whether the last poll of the keys was in time */
  #check(attended: boolean): void {
    for (const algorithm of ALGORITHMS) {
      for (const kind of KINDS) this.#checkSigner(`${kind} ${algorithm}`, kind, algorithm, attended);
    }
    const published = new Set(this.keys.filter((key) => isLive(key, this.now)).map((key) => key.kid));
    must(published.size <= LIMITS.jwksKeys, "(e) no more than 64 keys are published");
    for (const { kid, exp } of this.#tokens) {
      must(exp * SECOND <= this.#latest || published.has(kid), "(d) a token verifies until its exp");
    }
  }

  #checkSigner(line: string, kind: KeyKind, algorithm: Algorithm, attended: boolean): void {
    const signer = signerOf(this.keys, kind, algorithm, this.now);
    if (signer !== undefined && this.#signers.get(line) !== signer.kid) {
      const before = this.#signers.get(line);
      if (before !== undefined && !this.#before.has(signer.kid)) this.#before.set(signer.kid, before);
      this.#signers.set(line, signer.kid);
    }
    if (!this.policy.algorithms.includes(algorithm)) return;
    must(signer !== undefined || !attended, "(a) there is a signer"); // signerOf returns one key, so there are never two
    if (signer === undefined) return;
    must(signer.signsFrom <= this.now || this.#wasSetBack, "nobody signs before the turn has come");
    if (this.#begun.has(signer.kid)) return;
    this.#begun.add(signer.kid);
    must(this.#maySign(signer), "(b) a key is published for the lead before it signs");
  }

  /** Reports whether invariant (b) allows this key to sign. */
  #maySign(signer: SigningKey): boolean {
    if (this.#isKnown(signer)) return true;
    const replaced = this.#before.get(signer.kid);
    if (replaced === undefined) return true; // a first key
    const before = this.keys.find((key) => key.kid === replaced);
    // Replaces a revoked signer that had no prepared successor.
    if (before !== undefined && before.revokedAt !== null) return !this.#succeeded.has(before.kid);
    // Replaces a key that has ended, and was created as early as possible.
    const hasEnded = before === undefined || !isLive(before, this.now);
    return hasEnded && this.#noSooner.get(lineOf(signer))?.has(this.#publishedAt.get(signer.kid)!) === true;
  }

  /** Checks the published set at the end of a history. */
  checkSet(): void {
    const live = this.keys.filter((key) => isLive(key, this.now));
    const published = new Set(publishedKeys(this.keys, this.now));
    must(published.size === live.length && live.every((key) => published.has(key)), "every live key is in the set");
  }
}

/** Fails as `expect` does, in a hundredth of its time: a run has half a million checks. */
function must(holds: boolean, words: string): void {
  if (!holds) expect.fail(words);
}

const lineOf = (key: SigningKey) => `${key.kind} ${key.algorithm}`;
