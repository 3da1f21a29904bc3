import { beforeEach, describe, expect, it } from "vitest";
import { createFailureLimit, type FailureLimit } from "../../src/http/failure-limit.ts";
import { fakeClock, type FakeClock } from "../support/clock.ts";

let clock: FakeClock;
let limit: FailureLimit;
beforeEach(() => {
  clock = fakeClock();
  limit = createFailureLimit(clock.monotonic);
});
const fail = (address: string, times: number) =>
  Array.from({ length: times }, () => limit.waitAfterFailure(address)).at(-1);

describe("failures to authenticate", () => {
  it("S1 are ten a minute of one address, whatever is tried meanwhile", () => {
    expect(fail("192.0.2.1", 10)).toBe(0);
    expect(fail("192.0.2.1", 1)).toBe(60);
    clock.advance(30_500);
    expect(fail("192.0.2.1", 1_000)).toBe(30);
    clock.advance(29_500);
    expect(fail("192.0.2.1", 10)).toBe(0);
    expect(fail("192.0.2.1", 1)).toBe(60);
  });

  it("S1 of one address do not count for another one, and a whole IPv6 network is one", () => {
    fail("192.0.2.1", 100);
    expect(fail("192.0.2.2", 10)).toBe(0);
    expect(fail("::ffff:192.0.2.1", 1)).toBeGreaterThan(0); // the same, at a socket for both
    for (const [one, other, same] of [
      ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true],
      ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
      ["2001:db8::1", "2001:db8::ffff:1", true],
      ["2001:db8::1", "2001:db8:0:1::1", false],
      ["::1", "::2", true],
      ["fe80::1%eth0", "fe80::2%eth0", true],
    ] as const) {
      limit = createFailureLimit(clock.monotonic);
      fail(one, 100);
      expect([one, other, fail(other, 1)! > 0]).toEqual([one, other, same]);
    }
  });

  it("S1 of however many addresses are remembered in bounded memory, the latest ones", () => {
    const heap = () => {
      globalThis.gc!();
      return process.memoryUsage().heapUsed;
    };
    for (let i = 0; i < 20_000; i++) fail(`10.0.${i >> 8}.${i & 255}`, 1);
    const before = heap();
    for (let i = 0; i < 300_000; i++) fail(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 1);
    expect(heap() - before).toBeLessThan(2_000_000);
    fail("192.0.2.1", 10);
    for (let i = 0; i < 9_999; i++) fail(`11.0.${i >> 8}.${i & 255}`, 1);
    expect(fail("192.0.2.1", 1)).toBeGreaterThan(0);
  });

  it("inside this process have no address and no end", () => {
    for (let i = 0; i < 1_000; i++) expect(limit.waitAfterFailure(undefined)).toBe(0);
  });
});
