// A verifier while its issuer or the network fails.
import { afterEach, describe, expect, test, vi } from "vitest";
import { deadAddress } from "../../support/http.ts";
import { readerOf, serveIssuer } from "../../support/issuer.ts";
import { edKey, NOW, tokenBy } from "../../support/keys.ts";

const key = edKey("s-1");
const HOUR = 3_600;
const NOTHING_DUE = {
  keys: { nextRefreshSeconds: expect.toSatisfy((seconds) => seconds > 0) as number },
};
const long = (more: object = {}) => tokenBy(key, { exp: NOW + 100 * 24 * HOUR, ...more });

describe("R9 the key set is unavailable for hours", () => {
  test("R9 known keys verify for exactly 72 h, with at most one fetch per 30 s, and events report it", async () => {
    const issuer = await serveIssuer(key);
    const { verifier, clock, events, outcome } = readerOf(issuer);
    expect(await outcome(long())).toBe("allowed");
    issuer.status = 503;
    const before = issuer.requests.length;
    const settled = () =>
      vi.waitFor(() => expect(verifier.health().issuers[0]).toMatchObject(NOTHING_DUE), { interval: 1 });
    let seconds = 0;
    const hours = 72;
    while (seconds < hours * HOUR - 600) {
      // An hour to count the requests, then the rest of the 72 hours.
      const step = seconds < HOUR ? 5 : 600;
      clock.advance(step);
      seconds += step;
      expect(await outcome(long({ jti: `id-${seconds}` }))).toBe("allowed");
      await settled();
      if (seconds === HOUR) {
        const fetches = issuer.requests.length - before;
        // Of the keys and of the feed, which are separate documents; the first few requests come sooner.
        expect(fetches).toBeGreaterThan(2 * 80);
        expect(fetches).toBeLessThanOrEqual(2 * (HOUR / 30 + 6));
      }
    }
    const { ready, issuers } = verifier.health();
    expect([ready, issuers[0]!.keys]).toMatchObject([true, { keys: 1, usable: true, lastError: /status 503/ }]);
    expect(issuers[0]!.keys.ageSeconds).toBe(seconds);
    expect(issuers[0]!.keys.nextRefreshSeconds).toBeLessThanOrEqual(40);
    expect(events.findLast((event) => event.type === "keys_refresh_failed")).toMatchObject({
      ageSeconds: expect.any(Number) as number,
    });

    clock.advance(601);
    expect(await outcome(long())).toBe("keys_unavailable");
    expect(verifier.health()).toMatchObject({ ready: false, issuers: [{ keys: { usable: false } }] });
    issuer.status = undefined;
    clock.advance(41);
    expect(await outcome(long())).toBe("allowed");
    expect(verifier.health().ready).toBe(true);
  }, 60_000);
});

describe("R10 the issuer is down when the service starts", () => {
  afterEach(() => void vi.useRealTimers());

  test("R10 no token is accepted, fetches are retried after 1 to 30 s, and tokens are accepted soon after the issuer is up", async () => {
    const issuer = await serveIssuer(key);
    issuer.status = 503;
    const { verifier, clock, outcome } = readerOf(issuer);
    expect(verifier.health().ready).toBe(false);
    const pauses: number[] = [];
    let last = clock.monotonic();
    let count = 0;
    for (let i = 0; i < 4_000; i++) {
      expect(await outcome(long())).toBe("keys_unavailable");
      const fetches = issuer.count("/jwks-all.json");
      if (fetches > count) {
        pauses.push((clock.monotonic() - last) / 1000);
        [last, count] = [clock.monotonic(), fetches];
      }
      clock.advance(0.1);
    }
    // After 1, 2, 4 ... 30 s, each up to a quarter less.
    for (const [i, pause] of pauses.slice(1).entries()) {
      const most = Math.min(30, 2 ** i);
      expect(pause).toBeGreaterThanOrEqual(most * 0.75);
      expect(pause).toBeLessThanOrEqual(most + 0.11);
    }
    expect(pauses.length).toBeGreaterThan(10);
    issuer.status = undefined;
    clock.advance(30);
    expect(await outcome(long())).toBe("allowed");
  }, 60_000);

  test("K7 no token is accepted if the issuer does not respond, and keys come from no other place", async () => {
    const issuer = await serveIssuer(key);
    const { outcome } = readerOf(issuer, { jwksUri: `${deadAddress()}/jwks.json` });
    expect(await outcome(long())).toBe("keys_unavailable");
    expect(issuer.requests).toEqual([]);
  });
});

test("a readiness probe starts the first fetch before any token arrives", async () => {
  const issuer = await serveIssuer(key);
  const { verifier } = readerOf(issuer);
  expect(verifier.health()).toMatchObject({ ready: false, issuers: [{ keys: { keys: 0, ageSeconds: undefined } }] });
  await vi.waitFor(() => expect(verifier.health()).toMatchObject({ ready: true, issuers: [{ keys: { keys: 1 } }] }));
  expect(new Set(issuer.requests.map((request) => request.url))).toEqual(new Set(["/jwks-all.json", "/revocations"]));
});

test("close stops all background work", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const issuer = await serveIssuer(key);
    issuer.revoke({});
    const { verifier, outcome } = readerOf(issuer);
    expect(await outcome(long())).toBe("allowed");
    await vi.advanceTimersByTimeAsync(61_000);
    await vi.waitFor(() => expect(issuer.requests.length).toBeGreaterThanOrEqual(4)); // two documents, twice
    verifier.close();
    const before = issuer.requests.length;
    await vi.advanceTimersByTimeAsync(600_000);
    expect(issuer.requests.length).toBe(before);
  } finally {
    vi.useRealTimers();
  }
});
