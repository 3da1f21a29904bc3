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

/** What happens to a core. `which`: one of the algorithms. */
export type Event =
  /** `lateness`: of the instance refresh, how late every look at the keys is. */
  | { type: "wait"; seconds: number; lateness: number }
  /** Nobody looks: the store is away, or no instance runs. */
  | { type: "outage"; seconds: number }
  /** Somebody sets the store's clock back. */
  | { type: "setBack"; seconds: number }
  | { type: "restart"; policy: RotationPolicy }
  | { type: "mint"; kind: KeyKind; which: number; validity: number }
  | { type: "rotate"; kind: KeyKind; which: number; keepFor: number | null }
  | { type: "import"; which: number; signs: boolean; verifiesFor: number | null }
  | { type: "revoke"; kind: KeyKind; which: number; role: "signer" | "prepared" | "any" };

/** A core without I/O: its keys, and what was promised with them. What the laws allow is worked out from what happened. */
export class History {
  keys: SigningKey[] = [];
  policy: RotationPolicy;
  /** The store's clock. */
  now = NEW_YEAR;
  /** Milliseconds that went by, whatever any clock says: so long verifiers know what is published. */
  #passed = 0;
  /** The latest time that it was: verifiers' clocks are not set back. */
  #latest = NEW_YEAR;
  readonly #publishedAt = new Map<string, number>();
  /** The lead that was in force when a key's turn was set. */
  readonly #leadOf = new Map<string, number>();
  /** Whose turn it is, by kind and algorithm. */
  readonly #turn = new Map<string, string>();
  /** Whose turn it was before. */
  readonly #before = new Map<string, string>();
  /** Keys that have begun to sign, as they may. */
  readonly #begun = new Set<string>();
  /** Signers that were revoked when their successor had been published for its lead. */
  readonly #succeeded = new Set<string>();
  /** By kind and algorithm, when somebody came back who can make keys, or a prepared key was revoked: no key could be made before. */
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
        // A configuration that stored keys make impossible is refused at the start.
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

  /** One that the app signs with, most of the time. */
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
   * Lets time go by, stopping at every date.
   *
   * @param lateness milliseconds from a date until somebody looks at the keys; undefined: nobody looks
   */
  #pass(length: number, lateness: number | undefined): void {
    // Ten periods at most: longer only repeats itself, at the cost of a plan for every turn.
    const until = this.now + Math.min(length, 10 * this.policy.period);
    let look = Infinity;
    while (this.now < until) {
      const next = Math.min(until, look, nextChangeOf(this.keys, this.now));
      this.#passed += next - this.now;
      this.now = next;
      this.#latest = Math.max(this.#latest, next);
      this.#check(lateness !== undefined);
      if (lateness === undefined) continue;
      if (next === look || next === until) {
        this.#plan();
        look = Infinity;
      } else {
        look = Math.min(look, next + lateness);
      }
    }
  }

  /** What an instance does once a second. */
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
    const signs = this.#turn.get(lineOf(key)) === key.kid;
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
      // What an operator ends or revokes, the tokens that need it are told of.
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

  /** @param attended whether somebody has looked at the keys in time */
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
    if (signer !== undefined && this.#turn.get(line) !== signer.kid) {
      const before = this.#turn.get(line);
      if (before !== undefined && !this.#before.has(signer.kid)) this.#before.set(signer.kid, before);
      this.#turn.set(line, signer.kid);
    }
    if (!this.policy.algorithms.includes(algorithm)) return;
    must(signer !== undefined || !attended, "(a) there is a signer"); // a function's value, so never two
    if (signer === undefined) return;
    must(signer.signsFrom <= this.now || this.#wasSetBack, "nobody signs before the turn has come");
    if (this.#begun.has(signer.kid)) return;
    this.#begun.add(signer.kid);
    must(this.#maySign(signer), "(b) a key is published for the lead before it signs");
  }

  /** The words of (b). */
  #maySign(signer: SigningKey): boolean {
    if (this.#isKnown(signer)) return true;
    const replaced = this.#before.get(signer.kid);
    if (replaced === undefined) return true; // a first key
    const before = this.keys.find((key) => key.kid === replaced);
    // One that replaces a revoked signer when none was prepared.
    if (before !== undefined && before.revokedAt !== null) return !this.#succeeded.has(before.kid);
    // One that replaces a key which has ended, and was made as soon as anybody could.
    const hasEnded = before === undefined || !isLive(before, this.now);
    return hasEnded && this.#noSooner.get(lineOf(signer))?.has(this.#publishedAt.get(signer.kid)!) === true;
  }

  /** What is served, at the end of a history. */
  checkSet(): void {
    const live = this.keys.filter((key) => isLive(key, this.now));
    const published = new Set(publishedKeys(this.keys, this.now));
    must(published.size === live.length && live.every((key) => published.has(key)), "every live key is in the set");
  }
}

/** As `expect` says it, in a hundredth of its time: it is said half a million times. */
function must(holds: boolean, words: string): void {
  if (!holds) expect.fail(words);
}

const lineOf = (key: SigningKey) => `${key.kind} ${key.algorithm}`;
