import fc from "fast-check";
import { describe, it } from "vitest";
import { ALGORITHMS, LIMITS } from "countersign/protocol";
import { problemsOfRotationPolicy, type RotationPolicy } from "../../../src/domain/keys/rotation.ts";
import { History, type Event } from "../../support/key-history.ts";
import { rounds } from "../../../../../test/support/rounds.ts";

const SECOND = 1000;
const between = (least: number, most: number) => fc.integer({ min: least * SECOND, max: most * SECOND });
const policies = fc
  .record({
    lead: between(10, 900),
    period: between(10, 20_000),
    hold: between(0, 100_000),
    jwksMaxAge: between(0, 60),
    instanceRefresh: between(1, 5),
    clockSkew: between(0, 30),
    algorithms: fc.uniqueArray(fc.constantFrom(...ALGORITHMS), { minLength: 1 }),
    /** Further keys of each algorithm that fit, for a policy that allows nearly the maximum. */
    room: fc.option(fc.nat(2), { freq: 2 }),
  })
  .map(({ room, ...policy }): RotationPolicy => {
    if (room === null) return policy;
    const held = Math.floor(LIMITS.jwksKeys / policy.algorithms.length) - 3 - room;
    return { ...policy, hold: held * policy.period };
  })
  .filter((policy) => problemsOfRotationPolicy(policy).length === 0);

const anySeconds = fc.oneof(
  fc.integer({ min: 1, max: 5 }),
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 2_000 }) },
  fc.integer({ min: 1, max: 100_000 }),
);
const anyKind = fc.constantFrom("static" as const, "dynamic" as const);
const anyOne = fc.nat(5);
const of = <T extends Event["type"]>(type: T) => fc.constant(type);
const events: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: of("wait"),
      seconds: anySeconds,
      lateness: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: of("outage"), seconds: anySeconds }) },
  { weight: 2, arbitrary: fc.record({ type: of("setBack"), seconds: anySeconds }) },
  { weight: 1, arbitrary: fc.record({ type: of("restart"), policy: policies }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: of("mint"),
      kind: anyKind,
      which: anyOne,
      validity: fc.oneof(fc.integer({ min: 1, max: 10_000 }), fc.constant(LIMITS.validity)),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: of("rotate"),
      kind: anyKind,
      which: anyOne,
      keepFor: fc.option(fc.integer({ min: -100, max: 3_000 })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: of("import"),
      which: anyOne,
      signs: fc.boolean(),
      verifiesFor: fc.option(fc.integer({ min: 1, max: 50_000 })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: of("revoke"),
      kind: anyKind,
      which: anyOne,
      role: fc.constantFrom("signer" as const, "prepared" as const, "any" as const),
    }),
  },
);

const histories = fc.array(events, { minLength: 30, maxLength: 70 });

describe("invariants of keys", () => {
  it("R16 hold for any history of clocks, configurations, outages, requests and operators", () => {
    fc.assert(
      fc.property(policies, histories, fc.boolean(), (policy, history, clockIsSteady) => {
        const core = new History(policy);
        for (const event of history) if (!(clockIsSteady && event.type === "setBack")) core.run(event);
        core.checkSet();
      }),
      // The same histories on every run, so that failures are reproducible. HISTORY_SEED selects others.
      {
        numRuns: rounds({ quick: 100, short: 300, full: 1_000 }),
        seed: Number(process.env["HISTORY_SEED"] ?? 1),
        endOnFailure: true,
      },
    );
  }, 300_000);
});
