import { beforeEach, describe, expect, it } from "vitest";
import {
  createFailedAuthenticationLimit,
  type FailedAuthenticationLimit,
} from "../../../src/http/limits/failed-authentication-limit.ts";
import { fakeClock, type FakeClock } from "../../support/clock.ts";
import { startTestCore } from "../../support/core.ts";
import { recordedLog, type RecordedLog } from "../../support/log.ts";
import { basic, FORM } from "../../support/oauth.ts";

let clock: FakeClock;
let log: RecordedLog;
let limit: FailedAuthenticationLimit;
beforeEach(() => {
  clock = fakeClock();
  log = recordedLog();
  limit = createFailedAuthenticationLimit(clock.monotonic, log);
});
const fail = (address: string, times: number) =>
  Array.from({ length: times }, () => limit.waitAfterFailure(address)).at(-1);

describe("failed authentications", () => {
  it("S1 are limited to ten a minute per address", () => {
    expect(fail("192.0.2.1", 10)).toBe(0);
    expect(fail("192.0.2.1", 1)).toBe(60);
    clock.advance(30_500);
    expect(fail("192.0.2.1", 1_000)).toBe(30);
    clock.advance(29_500);
    expect(fail("192.0.2.1", 10)).toBe(0);
    expect(fail("192.0.2.1", 1)).toBe(60);
  });

  it("S1 of one address do not affect another address, and an IPv6 network counts as one", () => {
    fail("192.0.2.1", 100);
    expect(fail("192.0.2.2", 10)).toBe(0);
    expect(fail("::ffff:192.0.2.1", 1)).toBeGreaterThan(0); // the same address, on a dual-stack socket
    for (const [one, other, same] of [
      ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true],
      ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
      ["2001:db8::1", "2001:db8::ffff:1", true],
      ["2001:db8::1", "2001:db8:0:1::1", false],
      ["::1", "::2", true],
      ["fe80::1%eth0", "fe80::2%eth0", true],
    ] as const) {
      limit = createFailedAuthenticationLimit(clock.monotonic, log);
      fail(one, 100);
      expect([one, other, fail(other, 1)! > 0]).toEqual([one, other, same]);
    }
  });

  it("S1 of any number of addresses use bounded memory, which keeps the latest ones", () => {
    const heap = () => {
      globalThis.gc!();
      return process.memoryUsage().heapUsed;
    };
    for (let i = 0; i < 20_000; i++) fail(`10.0.${i >> 8}.${i & 255}`, 1);
    const before = heap();
    for (let i = 0; i < 100_000; i++) fail(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 1);
    expect(heap() - before).toBeLessThan(2_000_000);
    fail("192.0.2.1", 10);
    for (let i = 0; i < 9_999; i++) fail(`11.0.${i >> 8}.${i & 255}`, 1);
    expect(fail("192.0.2.1", 1)).toBeGreaterThan(0);
  });

  it("S1 are logged when they reach the limit, once per window of an address", () => {
    const line = (address: string, seconds: number) =>
      `warn too many failed authentications, throttling address { address: '${address}', seconds: ${seconds} }`;
    fail("192.0.2.1", 10);
    expect(log.lines).toEqual([]);
    clock.advance(20_000);
    fail("192.0.2.1", 1_000);
    fail("192.0.2.2", 1_000);
    fail("2001:db8::1", 10);
    for (let i = 2; i < 99; i++) fail(`2001:db8::${i}`, 1); // another address of the same network
    const first = [line("192.0.2.1", 40), line("192.0.2.2", 60), line("2001:db8::2", 60)];
    expect(log.lines).toEqual(first);
    clock.advance(40_000);
    fail("192.0.2.1", 11);
    fail("192.0.2.2", 11);
    expect(log.lines).toEqual([...first, line("192.0.2.1", 60)]);
  });

  it("S1 S6 over a socket are logged with the address and without the secret, at every endpoint", async () => {
    const core = await startTestCore({}, { clock, log });
    const tried = (i: number) => `cs_orders_${String(i).repeat(43)}`;
    const warnings = () => log.lines.filter((line) => line.startsWith("warn "));
    for (let i = 0; i < 6; i++) {
      const headers = { ...FORM, ...basic("orders", tried(i)) };
      expect((await core.call("/oauth/token", { method: "POST", apiKey: null, body: "x=y", headers })).status).toBe(
        401,
      );
    }
    for (let i = 6; i < 10; i++) expect((await core.call("/apiversion", { apiKey: tried(i) })).status).toBe(401);
    expect(warnings()).toEqual([]);
    for (const path of ["/apiversion", "/admin/v1/status", "/recipe/jwt/jwks"]) {
      expect((await core.call(path, { apiKey: tried(9) })).status).toBe(429);
    }
    expect(warnings()).toEqual([
      "warn too many failed authentications, throttling address { address: '127.0.0.1', seconds: 60 }",
    ]);
    for (let i = 0; i < 10; i++) expect(log.lines.join("\n")).not.toContain(String(i).repeat(43));
  });

  it("in the same process have no address and no limit", () => {
    for (let i = 0; i < 1_000; i++) expect(limit.waitAfterFailure(undefined)).toBe(0);
  });
});
