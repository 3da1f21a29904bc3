import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ALGORITHMS, LIMITS } from "countersign/protocol";
import {
  DEFAULT_ROTATION,
  peakOfPublishedKeys,
  planRotation,
  problemsOfRotationPolicy,
  problemsOfStoredKeys,
  type RotationPolicy,
} from "../../../src/domain/keys/rotation.ts";
import {
  isLive,
  nextChangeOf,
  publishedKeys,
  signerOf,
  type SigningKey,
} from "../../../src/domain/keys/signing-key.ts";
import { latestExpiry } from "../../../src/domain/tokens/token.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { keyOfStep, RSA_ROTATION, signingKey } from "../../support/keys.ts";

const SECOND = 1000;
const rotationPolicyWith = (rest: Partial<RotationPolicy>): RotationPolicy => ({ ...RSA_ROTATION, ...rest });

/** Returns the keys after the plan. */
function apply(keys: readonly SigningKey[], policy: RotationPolicy, now: number): readonly SigningKey[] {
  const after = [...keys];
  for (const step of planRotation(keys, policy, now)) {
    if (step.type === "create") after.push(keyOfStep(step, now));
    else
      after.splice(
        after.findIndex((key) => key.kid === step.kid),
        1,
      );
  }
  return after;
}

describe("planRotation", () => {
  const lead = RSA_ROTATION.lead;
  const { period, hold } = RSA_ROTATION;

  it("begins with a static key, a dynamic key that signs immediately, and its successor", () => {
    const until = NEW_YEAR + period;
    expect(planRotation([], RSA_ROTATION, NEW_YEAR)).toEqual([
      {
        type: "create",
        kind: "static",
        algorithm: "RS256",
        sequence: 1,
        signsFrom: NEW_YEAR,
        signsUntil: null,
        verifiesUntil: null,
      },
      {
        type: "create",
        kind: "dynamic",
        algorithm: "RS256",
        sequence: 1,
        signsFrom: NEW_YEAR,
        signsUntil: until,
        verifiesUntil: until + hold,
      },
      {
        type: "create",
        kind: "dynamic",
        algorithm: "RS256",
        sequence: 2,
        signsFrom: until,
        signsUntil: until + period,
        verifiesUntil: until + period + hold,
      },
    ]);
  });

  it("creates the successor when its predecessor begins to sign", () => {
    const keys = apply([], RSA_ROTATION, NEW_YEAR);
    expect(planRotation(keys, RSA_ROTATION, NEW_YEAR + period - 1)).toEqual([]);
    expect(planRotation(keys, RSA_ROTATION, NEW_YEAR + period)).toMatchObject([
      { type: "create", sequence: 3, signsFrom: NEW_YEAR + 2 * period },
    ]);
  });

  it("gives a late successor its full lead time, while the old key keeps signing", () => {
    const keys = apply([], RSA_ROTATION, NEW_YEAR);
    const late = NEW_YEAR + 2 * period + 5;
    const after = apply(keys, RSA_ROTATION, late);
    expect(after.at(-1)).toMatchObject({ sequence: 3, signsFrom: late + lead });
    expect(signerOf(after, "dynamic", "RS256", late + lead - 1)?.sequence).toBe(2);
    expect(signerOf(after, "dynamic", "RS256", late + lead)?.sequence).toBe(3);
  });

  it("removes a key when it no longer verifies anything, not before", () => {
    const dead = signingKey({ kid: "d-0", kind: "dynamic", signsFrom: 0, signsUntil: 1, verifiesUntil: NEW_YEAR });
    const removals = (now: number) => planRotation([dead], RSA_ROTATION, now).filter((step) => step.type === "remove");
    expect(removals(NEW_YEAR - 1)).toEqual([]);
    expect(removals(NEW_YEAR)).toEqual([{ type: "remove", kid: "d-0" }]);
  });

  it("never removes a revoked key: its row prevents its return", () => {
    const revoked = signingKey({ kid: "s-0", revokedAt: NEW_YEAR });
    const century = 100 * 365 * 86_400_000;
    const plan = planRotation([revoked], RSA_ROTATION, NEW_YEAR + century);
    expect(plan.filter((step) => step.type === "remove")).toEqual([]);
  });

  it("R16 prepares a successor for a static key with an end, a lead time before it signs and not later than that end", () => {
    const planned = (rest: Partial<SigningKey>) => {
      const plan = planRotation([signingKey(rest)], RSA_ROTATION, NEW_YEAR);
      return plan.filter((step) => step.type === "create" && step.kind === "static");
    };
    expect(planned({ verifiesUntil: NEW_YEAR + 10 * lead })).toEqual([
      expect.objectContaining({ sequence: 2, signsFrom: NEW_YEAR + lead, verifiesUntil: null }),
    ]);
    expect(planned({ verifiesUntil: NEW_YEAR + 1_000 })).toMatchObject([{ signsFrom: NEW_YEAR + 1_000 }]);
    expect(planned({ signsUntil: NEW_YEAR })).toEqual([]); // verifies without an end
  });

  it("R16 makes a successor that is too late for its lead time sign when its predecessor ends", () => {
    const ending = signingKey({
      kind: "dynamic",
      signsFrom: 0,
      signsUntil: NEW_YEAR - hold,
      verifiesUntil: NEW_YEAR + 60_000,
    });
    const [, step] = planRotation([ending], RSA_ROTATION, NEW_YEAR);
    expect(step).toMatchObject({ kind: "dynamic", sequence: 2, signsFrom: NEW_YEAR + 60_000 });
  });

  it("R16 gives the replacement of a revoked key that key's time, so that no additional keys follow", () => {
    const signer = signingKey({
      kid: "d-1",
      kind: "dynamic",
      signsUntil: NEW_YEAR + lead,
      verifiesUntil: NEW_YEAR + lead + hold,
    });
    const revoked = signingKey({
      kid: "d-2",
      kind: "dynamic",
      sequence: 2,
      signsFrom: NEW_YEAR + lead,
      signsUntil: NEW_YEAR + 2 * period,
      verifiesUntil: NEW_YEAR + 2 * period + hold,
      revokedAt: NEW_YEAR,
    });
    const planned = planRotation([signingKey(), signer, revoked], RSA_ROTATION, NEW_YEAR);
    expect(planned).toEqual([
      expect.objectContaining({
        sequence: 3,
        signsFrom: NEW_YEAR + lead,
        signsUntil: NEW_YEAR + 2 * period,
        verifiesUntil: NEW_YEAR + 2 * period + hold,
      }),
    ]);
  });

  it("continues from the highest sequence, so that two instances choose the same one (R7)", () => {
    const revoked = signingKey({ sequence: 7, revokedAt: NEW_YEAR });
    expect(planRotation([revoked], RSA_ROTATION, NEW_YEAR)[0]).toMatchObject({ kind: "static", sequence: 8 });
    const plans = [1, 2].map(() => planRotation([revoked], RSA_ROTATION, NEW_YEAR));
    expect(plans[0]).toEqual(plans[1]);
  });

  it("does not change keys of an algorithm that is no longer used, and lets them end", () => {
    const keys = apply([], rotationPolicyWith({ algorithms: ["RS256", "ES256"] }), NEW_YEAR);
    const later = apply(keys, RSA_ROTATION, NEW_YEAR + period + hold);
    expect(later.filter((key) => key.algorithm === "ES256").map((key) => [key.kind, key.sequence])).toEqual([
      ["static", 1],
      ["dynamic", 2],
    ]);
  });
});

describe("peakOfPublishedKeys", () => {
  it("does not depend on how the series of keys align: a revocation shifts one, and is never rejected", () => {
    const day = 86_400_000;
    const both = rotationPolicyWith({ period: 2 * day, hold: 3 * day, algorithms: ["RS256", "ES256"] });
    const keys = apply([], rotationPolicyWith({ ...both, algorithms: ["RS256"] }), NEW_YEAR);
    const peaks = [0, 0.25, 0.5, 0.75, 1, 1.5].map((days) => peakOfPublishedKeys(keys, both, NEW_YEAR + days * day));
    expect(peaks).toEqual(Array(6).fill(2 * (3 + 2)));
    expect(peakOfPublishedKeys([], both, NEW_YEAR)).toBe(2 * (3 + 2));
  });
});

describe("problemsOfRotationPolicy", () => {
  it("accepts the default, and the fast policy of a soak test", () => {
    expect(problemsOfRotationPolicy(DEFAULT_ROTATION)).toEqual([]);
    const fast = { jwksMaxAge: 1_000, instanceRefresh: 500, clockSkew: 0, lead: 2_500, period: 10_000, hold: 10_000 };
    expect(problemsOfRotationPolicy(rotationPolicyWith(fast))).toEqual([]);
  });

  it("shows the calculation for a lead time that is too short", () => {
    expect(problemsOfRotationPolicy(rotationPolicyWith({ lead: 184_999 }))).toEqual([
      "lead 184.999 s is shorter than 2 x JWKS max-age 60 s + instance refresh 5 s + 2 x clock skew 30 s = 185 s",
    ]);
    expect(problemsOfRotationPolicy(rotationPolicyWith({ lead: 185_000 }))).toEqual([]);
  });

  it("rejects a period that is too short for a successor", () => {
    for (const period of [0, 599_999]) {
      expect(problemsOfRotationPolicy(rotationPolicyWith({ period, hold: 0 }))[0]).toMatch(
        /^period .* is shorter than lead 600 s/,
      );
    }
  });

  it("rejects a key that would end before its successor has had its lead time", () => {
    const tight = { lead: 600_000, period: 600_000 };
    expect(problemsOfRotationPolicy(rotationPolicyWith({ ...tight, hold: 604_999 }))).toEqual([
      "hold 604.999 s is shorter than lead 600 s + instance refresh 5 s: a key could expire before its successor signs",
    ]);
    expect(problemsOfRotationPolicy(rotationPolicyWith({ ...tight, hold: 605_000 }))).toEqual([]);
  });

  it("rejects a lead time that is longer than stored keys last, because it cannot change their dates", () => {
    const before = rotationPolicyWith({
      lead: 10_000,
      period: 10_000,
      hold: 10_000,
      jwksMaxAge: 0,
      instanceRefresh: 0,
      clockSkew: 0,
    });
    const keys = planRotation([], before, NEW_YEAR).flatMap((step) =>
      step.type === "create" ? [keyOfStep(step, NEW_YEAR)] : [],
    );
    expect(problemsOfStoredKeys(keys, before, NEW_YEAR)).toEqual([]);
    const after = { ...before, lead: 21_000, period: 21_000, hold: 21_000 };
    expect(problemsOfStoredKeys(keys, after, NEW_YEAR)).toEqual([
      expect.stringMatching(/verifies for 10 s after it stops signing, less than lead 21 s/),
      expect.stringMatching(/verifies for 10 s/),
    ]);
    expect(problemsOfStoredKeys(keys, after, NEW_YEAR + 20_000)).toEqual([]); // They no longer sign, so they impose no limit.
  });

  it("rejects more than 64 published keys, with the calculation", () => {
    const day = 86_400_000;
    expect(problemsOfRotationPolicy(rotationPolicyWith({ period: day, hold: 61 * day }))).toEqual([]);
    expect(problemsOfRotationPolicy(rotationPolicyWith({ period: day, hold: 61 * day + 1 }))).toEqual([
      expect.stringMatching(/= 65 published keys, more than 64/),
    ]);
    expect(
      problemsOfRotationPolicy(rotationPolicyWith({ period: day, hold: 20 * day, algorithms: ALGORITHMS })),
    ).toEqual([expect.stringMatching(/^3 algorithm.* = 69 published keys/)]);
  });

  it("rejects invalid durations, all at once", () => {
    const problems = problemsOfRotationPolicy(rotationPolicyWith({ lead: NaN, period: Infinity, hold: -1 }));
    expect(problems.map((problem) => problem.split(":")[0])).toEqual(["lead", "period", "hold"]);
  });

  it("rejects durations over a hundred years, whose dates cannot be formatted", () => {
    const century = 100 * 365 * 86_400_000;
    expect(problemsOfRotationPolicy(rotationPolicyWith({ period: century, hold: century }))).toEqual([]);
    expect(problemsOfRotationPolicy(rotationPolicyWith({ period: 1e15, hold: century + 1 }))).toEqual([
      "period: expected milliseconds from 0 to 3153600000000 (100 years), got 1000000000000000",
      "hold: expected milliseconds from 0 to 3153600000000 (100 years), got 3153600000001",
    ]);
  });

  it("rejects algorithms that are missing, unknown or duplicate", () => {
    for (const algorithms of [
      [],
      ["HS256"],
      ["RS256", "RS256"],
      ["RS256", "rs256"],
      ["EdDSA"],
    ] as unknown as RotationPolicy["algorithms"][]) {
      expect(problemsOfRotationPolicy(rotationPolicyWith({ algorithms }))).toEqual([
        expect.stringMatching(/^algorithms/),
      ]);
    }
  });
});

// Small distances, so that edge cases are frequent: a period barely longer than the lead time, or almost no hold.
const extra = fc.oneof(fc.integer({ min: 0, max: 6_000 }), fc.integer({ min: 0, max: 604_800_000 }));
const anyPolicy: fc.Arbitrary<RotationPolicy> = fc
  .record({
    jwksMaxAge: fc.integer({ min: 0, max: 60_000 }),
    instanceRefresh: fc.integer({ min: 1_000, max: 5_000 }),
    clockSkew: fc.integer({ min: 0, max: 30_000 }),
    algorithms: fc.subarray([...ALGORITHMS], { minLength: 1 }),
    extras: fc.tuple(extra, extra, extra),
  })
  .map(({ extras, ...rest }) => {
    const lead = 2 * rest.jwksMaxAge + rest.instanceRefresh + 2 * rest.clockSkew + extras[0];
    return { ...rest, lead, period: lead + extras[1], hold: extras[2] };
  });
const acceptedPolicy = anyPolicy.filter((policy) => problemsOfRotationPolicy(policy).length === 0);

/** Returns when an instance next polls the keys. */
type Poll = (keys: readonly SigningKey[], now: number) => number;

/**
 * Simulates the lifetime of one app. Every poll is by a new instance that knows only stored data. Checks the
 * invariants, and passes on the changes between two polls.
 */
function simulate(
  policy: RotationPolicy,
  polls: readonly Poll[],
  check: (step: { last: number; now: number; before: readonly SigningKey[]; made: readonly SigningKey[] }) => void,
): void {
  let now = NEW_YEAR;
  let keys = apply([], policy, now);
  for (const poll of polls) {
    const last = now;
    const before = keys;
    now = poll(before, now);
    keys = apply(before, policy, now);
    expect(planRotation(keys, policy, now)).toEqual([]);
    // Dates do not change, and no live key is removed.
    for (const key of before) expect(keys.includes(key) || !isLive(key, now)).toBe(true);
    const made = keys.filter((key) => !before.includes(key));
    for (const key of made) {
      if (key.signsFrom >= now + policy.lead) continue;
      // After an outage, no key signs, or the signer ends before the lead time does and is followed at its end.
      const signer = signerOf(before, key.kind, key.algorithm, now);
      if (signer !== undefined) expect(key.signsFrom).toBe(signer.verifiesUntil);
    }
    expectOneSigner(keys, policy, now);
    expect(new Set(keys.map((key) => `${key.kind} ${key.algorithm} ${key.sequence}`)).size).toBe(keys.length);
    expect(publishedKeys(keys, now).length).toBeLessThanOrEqual(LIMITS.jwksKeys);
    check({ last, now, before, made });
  }
}

function expectOneSigner(keys: readonly SigningKey[], { algorithms }: RotationPolicy, now: number): void {
  const published = publishedKeys(keys, now);
  for (const algorithm of algorithms) {
    for (const kind of ["static", "dynamic"] as const) {
      const signer = signerOf(keys, kind, algorithm, now);
      expect(signer, `${kind} ${algorithm} at ${now - NEW_YEAR}`).toBeDefined();
      expect(published).toContain(signer);
      // No token it signs outlives it, for any requested lifetime.
      expect(latestExpiry(signer!) * SECOND).toBeLessThanOrEqual(signer!.verifiesUntil ?? Infinity);
    }
  }
}

describe("for every accepted policy (R16)", () => {
  // Stops at the first failure: shrinking a history takes many minutes without output.
  const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 20, maxLength: 80 });

  it("with polls within the refresh of every change: always one signer, and only the first key is unannounced", () => {
    fc.assert(
      fc.property(acceptedPolicy, fractions, (policy, waits) => {
        const polls = waits.map((wait): Poll => {
          const lateness = Math.floor(wait * policy.instanceRefresh);
          return (keys, now) => Math.min(nextChangeOf(keys, now), now + Math.ceil(policy.period / 2)) + lateness;
        });
        simulate(policy, polls, ({ last, now, before, made }) => {
          const dates = before.flatMap((key) => [
            key.signsFrom,
            (key.verifiesUntil ?? now) - 1,
            key.verifiesUntil ?? now,
          ]);
          for (const moment of [last, Math.floor((last + now) / 2), now - 1, ...dates]) {
            if (moment >= last && moment < now) expectOneSigner(before, policy, moment);
          }
          for (const key of made) expect(key.signsFrom).toBeGreaterThanOrEqual(key.createdAt + policy.lead);
        });
      }),
      { numRuns: 100, endOnFailure: true },
    );
  });

  it("with outages of any length: a key skips its lead time only if no signer lasts that long", () => {
    const outages = fc.array(fc.tuple(fc.nat({ max: 79 }), fc.double({ min: 0, max: 6, noNaN: true })), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(acceptedPolicy, fractions, outages, (policy, waits, gaps) => {
        const lengths = waits.map((wait) => Math.floor(wait * policy.period));
        for (const [at, length] of gaps) lengths.splice(at, 0, Math.floor(length * (policy.period + policy.hold)));
        let made = 0;
        const polls = lengths.map(
          (length): Poll =>
            (_, now) =>
              now + length,
        );
        simulate(policy, polls, (step) => (made += step.made.length));
        // An instance that runs for more than two periods has created keys.
        const elapsed = lengths.reduce((sum, length) => sum + length, 0);
        if (elapsed > 2 * policy.period) expect(made).toBeGreaterThan(0);
      }),
      { numRuns: 100, endOnFailure: true },
    );
  });

  it("with another policy after each restart: existing keys keep their dates, and a signer exists", () => {
    const wait = fc.integer({ min: 0, max: 2_000_000_000 });
    fc.assert(
      fc.property(fc.array(fc.tuple(acceptedPolicy, wait), { minLength: 2, maxLength: 12 }), (restarts) => {
        let keys: readonly SigningKey[] = [];
        let now = NEW_YEAR;
        for (const [policy, length] of restarts) {
          now += length;
          const before = keys;
          keys = apply(before, policy, now);
          for (const key of before) expect(keys.includes(key) || !isLive(key, now)).toBe(true);
          expectOneSigner(keys, policy, now);
          expect(planRotation(keys, policy, now)).toEqual([]);
        }
      }),
      { numRuns: 200, endOnFailure: true },
    );
  });
});
