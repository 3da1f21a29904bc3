import fc from "fast-check";
import { expect, it } from "vitest";
import { countIssued, countUnexpired, type IssuedTokens } from "../../../src/domain/tokens/issued-tokens.ts";

const NOW = 1_767_225_600;

it("counts no expired token, and drops one at most a 32nd of its lifetime too early", () => {
  const lifetimes = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 3_153_600_000 }));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1_000), lifetimes)), fc.nat(2_000), (tokens, later) => {
      const issued: IssuedTokens = new Map();
      for (const [at, lifetime] of tokens) countIssued(issued, NOW + at, NOW + at + lifetime);
      const unexpired = (part: number) => tokens.filter(([at, lifetime]) => at + lifetime * part > later).length;
      const counted = countUnexpired(issued, NOW + later);
      expect(counted).toBeLessThanOrEqual(unexpired(1));
      expect(counted).toBeGreaterThanOrEqual(unexpired(31 / 32));
    }),
  );
});

it("stays small for any number of issued tokens", () => {
  const issued: IssuedTokens = new Map();
  let most = 0;
  for (let second = 0; second < 100_000; second++) {
    for (const lifetime of [1, 60, 86_400, 3_153_600_000]) countIssued(issued, NOW + second, NOW + second + lifetime);
    most = Math.max(most, issued.size);
  }
  expect(most).toBeLessThanOrEqual(4_096 + 1);
  expect(countUnexpired(issued, NOW + 100_000)).toBeGreaterThan(100_000 + 80_000);
});
