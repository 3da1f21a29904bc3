import { afterEach, describe, expect, test, vi } from "vitest";
import type { VerifierEvent } from "../../src/telemetry/events.ts";
import { KeySet } from "../../src/jwks/key-set.ts";
import { getKeySet } from "../../src/verify/issuer-documents.ts";
import { fakeClock, type FakeClock } from "../support/clock.ts";
import { listen } from "../support/http.ts";
import { edKey, type TestKey } from "../support/keys.ts";
import { serveKeys, type KeyServer } from "../support/key-server.ts";

const MAX_STALE = 72 * 3_600_000;
const first = edKey("k1");
const second = edKey("k2");

const open = new Set<KeySet>();
afterEach(() => {
  for (const keySet of open) keySet.close();
  open.clear();
});

interface Bench {
  readonly keySet: KeySet;
  readonly server: KeyServer;
  readonly clock: FakeClock;
  readonly events: VerifierEvent[];
  /** `found`, `unknown` or `unavailable`. */
  lookUp(kid: string): Promise<string>;
  /** Waits for a background refresh. */
  settled(event: VerifierEvent["type"], count: number): Promise<void>;
}

async function bench(...keys: TestKey[]): Promise<Bench> {
  const server = await serveKeys(...keys);
  const clock = fakeClock();
  const events: VerifierEvent[] = [];
  const waiting = new Set<() => void>();
  const source = { name: server.jwksUri, places: async () => [server.jwksUri], get: getKeySet };
  const keySet = new KeySet(source, clock, (event) => {
    events.push(event);
    for (const wake of waiting) wake();
  });
  open.add(keySet);
  const self: Bench = {
    keySet,
    server,
    clock,
    events,
    async lookUp(kid) {
      const found = await keySet.find(kid, MAX_STALE);
      return typeof found === "string" ? found : "found";
    },
    settled: (type, count) =>
      new Promise((resolve) => {
        const wake = () => {
          if (events.filter((event) => event.type === type).length < count) return;
          waiting.delete(wake);
          setImmediate(resolve);
        };
        waiting.add(wake);
        wake();
      }),
  };
  return self;
}

test("simultaneous lookups share one fetch", async () => {
  const { lookUp, server } = await bench(first);
  expect(await Promise.all(Array.from({ length: 50 }, () => lookUp("k1")))).toEqual(Array(50).fill("found"));
  expect(server.fetches()).toBe(1);
});

describe("background refresh", () => {
  test("a set is fetched again before its max-age ends, and no lookup waits", async () => {
    const { lookUp, server, clock, settled } = await bench(first);
    await lookUp("k1");
    clock.advance(44); // 75 % of a minute at the earliest
    await lookUp("k1");
    expect(server.fetches()).toBe(1);
    clock.advance(14); // 95 % of it at the latest
    server.publish(first, second);
    expect(await lookUp("k1")).toBe("found");
    await settled("keys_refreshed", 2);
    expect(server.fetches()).toBe(2);
    expect(await lookUp("k2")).toBe("found");
  });

  test.each([
    [undefined, 44, 58],
    ["max-age=600", 449, 571],
    ["public, max-age=600, must-revalidate", 449, 571],
    ["max-age=99999999", 3599, 3601],
    ["no-store", 44, 58],
  ])("Cache-Control %s: no refresh after %i s, a refresh after %i s", async (cacheControl, before, after) => {
    const { lookUp, server, clock, settled } = await bench(first);
    server.cacheControl(cacheControl);
    await lookUp("k1");
    clock.advance(before);
    await lookUp("k1");
    expect(server.fetches()).toBe(1);
    clock.advance(after - before);
    await lookUp("k1");
    await settled("keys_refreshed", 2);
    expect(server.fetches()).toBe(2);
  });
});

describe("K5 whole sets", () => {
  test("K5 after one refresh, a removed key is unknown and an added one is found", async () => {
    const { lookUp, server } = await bench(first);
    await lookUp("k1");
    server.publish(second);
    expect(await lookUp("k2")).toBe("found");
    expect(await lookUp("k1")).toBe("unknown");
  });

  test("K5 after an empty set, no key is trusted", async () => {
    const { lookUp, server, clock, settled } = await bench(first);
    await lookUp("k1");
    server.publish();
    clock.advance(60);
    await lookUp("k1");
    await settled("keys_refreshed", 2);
    expect(await lookUp("k1")).toBe("unknown");
  });
});

describe("K4 unknown kids", () => {
  test("K4 a flood of them causes one fetch in 30 s and does not affect known ones", async () => {
    const { lookUp, server, clock } = await bench(first);
    await lookUp("k1");
    const flood = () => Promise.all(Array.from({ length: 500 }, (_, i) => lookUp(`x${i}`)));
    expect(new Set(await flood())).toEqual(new Set(["unknown"]));
    expect(server.fetches()).toBe(2);
    clock.advance(29);
    await flood();
    expect(await lookUp("k1")).toBe("found");
    expect(server.fetches()).toBe(2);
    clock.advance(1);
    await flood();
    expect(server.fetches()).toBe(3);
  });

  test("a known kid is found while a fetch for an unknown one hangs", async () => {
    let hang = false;
    const server = await listen((_req, res) => {
      if (!hang) res.end(JSON.stringify({ keys: [first.jwk] }));
    });
    const keySet = new KeySet(
      { name: server.url, places: async () => [server.url], get: getKeySet },
      fakeClock(),
      () => {},
    );
    open.add(keySet);
    await keySet.find("k1", MAX_STALE);
    hang = true;
    const unknown = keySet.find("k2", MAX_STALE);
    expect(await keySet.find("k1", MAX_STALE)).toMatchObject({ kid: "k1" });
    await server.close();
    expect(await unknown).toBe("unknown");
  });
});

describe("K7 a source that is down", () => {
  test("K7 before the first set: unavailable, and retried no faster than the back-off allows", async () => {
    const { lookUp, server, clock, events } = await bench(first);
    server.failWith({ status: 500 });
    expect(await lookUp("k1")).toBe("unavailable");
    expect(await lookUp("k1")).toBe("unavailable");
    expect(server.fetches()).toBe(1);
    expect(events).toEqual([
      {
        type: "keys_refresh_failed",
        source: server.jwksUri,
        problem: "the key set responded with status 500",
        ageSeconds: undefined,
      },
    ]);
    server.failWith(undefined);
    clock.advance(1);
    expect(await lookUp("k1")).toBe("found");
  });

  test("R9 after the first set: known keys verify for exactly 72 h", async () => {
    const { lookUp, server, clock, events, settled } = await bench(first);
    await lookUp("k1");
    server.failWith({ status: 503 });
    clock.advance(72 * 3600);
    expect(await lookUp("k1")).toBe("found");
    await settled("keys_refresh_failed", 1);
    expect(events.at(-1)).toMatchObject({ ageSeconds: 72 * 3600 });
    clock.advance(1);
    expect(await lookUp("k1")).toBe("unavailable");
  });

  test("R9 attempts back off to one in 30 s", async () => {
    const { lookUp, server, clock } = await bench(first);
    server.failWith({ status: 500 });
    const attempts: number[] = [];
    for (let elapsed = 0; elapsed < 300; elapsed++) {
      const before = server.fetches();
      await lookUp("k1");
      if (server.fetches() > before) attempts.push(elapsed);
      clock.advance(1);
    }
    const gaps = attempts.slice(1).map((at, i) => at - attempts[i]!);
    expect(gaps[0]).toBeLessThanOrEqual(1);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(30);
    expect(gaps.slice(6).every((gap) => gap >= 22)).toBe(true);
  });

  test("a set that is available again replaces the old one", async () => {
    const { lookUp, server, clock, settled } = await bench(first);
    await lookUp("k1");
    server.failWith({ status: 500 });
    clock.advance(3600);
    await lookUp("k1");
    await settled("keys_refresh_failed", 1);
    server.failWith(undefined);
    server.publish(second);
    clock.advance(30);
    await lookUp("k1");
    await settled("keys_refreshed", 2);
    expect(await lookUp("k1")).toBe("unknown");
    expect(await lookUp("k2")).toBe("found");
  });
});

describe("places", () => {
  async function twoPlaces(answers: Record<string, number>) {
    const server = await listen((req, res) => {
      const status = answers[req.url!] ?? 404;
      res.writeHead(status).end(JSON.stringify({ keys: [first.jwk] }));
    });
    const clock = fakeClock();
    const source = {
      name: "two places",
      places: async () => [`${server.url}/all`, `${server.url}/rsa`],
      get: getKeySet,
    };
    const keySet = new KeySet(source, clock, () => {});
    open.add(keySet);
    const asked = () => server.requests.splice(0).map((request) => request.url);
    return { keySet, clock, asked, answers };
  }

  test("the first place that responds is used; if it fails later, the next one is not tried", async () => {
    const { keySet, clock, asked, answers } = await twoPlaces({ "/all": 200, "/rsa": 200 });
    await keySet.find("k1", MAX_STALE);
    answers["/all"] = 500;
    clock.advance(31);
    await keySet.find("x", MAX_STALE);
    expect(asked()).toEqual(["/all", "/all"]);
  });

  test.each([[500], [429]])("%i at the first place is a failure, not an absence", async (status) => {
    const { keySet, asked } = await twoPlaces({ "/all": status, "/rsa": 200 });
    expect(await keySet.find("k1", MAX_STALE)).toBe("unavailable");
    expect(asked()).toEqual(["/all"]);
  });

  test.each([[401], [403], [404]])("%i at the first place means that it does not exist", async (status) => {
    const { keySet, asked } = await twoPlaces({ "/all": status, "/rsa": 200 });
    expect(await keySet.find("k1", MAX_STALE)).toMatchObject({ kid: "k1" });
    expect(asked()).toEqual(["/all", "/rsa"]);
  });

  test("an HTML page at the first place, the fallback of single-page applications, means the same", async () => {
    const server = await listen((req, res) => {
      res.end(req.url === "/rsa" ? JSON.stringify({ keys: [first.jwk] }) : "<!doctype html>");
    });
    const source = { name: "a page", places: async () => [`${server.url}/all`, `${server.url}/rsa`], get: getKeySet };
    const keySet = new KeySet(source, fakeClock(), () => {});
    open.add(keySet);
    expect(await keySet.find("k1", MAX_STALE)).toMatchObject({ kid: "k1" });
  });

  test("a place that disappeared is searched again", async () => {
    const { keySet, clock, asked, answers } = await twoPlaces({ "/all": 200, "/rsa": 200 });
    await keySet.find("k1", MAX_STALE);
    answers["/all"] = 404;
    await keySet.find("x", MAX_STALE);
    clock.advance(31);
    await keySet.find("x", MAX_STALE);
    expect(asked()).toEqual(["/all", "/all", "/all", "/rsa"]);
  });
});

describe("the timer", () => {
  afterEach(() => void vi.useRealTimers());

  test("refreshes a set, used or not, until the set is closed", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let fetches = 0;
    const clock = fakeClock();
    const headers = new Headers({ "cache-control": "max-age=100" });
    const text = JSON.stringify({ keys: [first.jwk] });
    const source = {
      name: "memory",
      places: async () => ["a"],
      get: async () => (fetches++, { status: 200, headers, text }),
    };
    const keySet = new KeySet(source, clock, () => {});
    await keySet.find("k1", MAX_STALE);
    await vi.advanceTimersByTimeAsync(74_000);
    expect(fetches).toBe(1);
    await vi.advanceTimersByTimeAsync(22_000);
    expect(fetches).toBe(2);
    keySet.close();
    expect(vi.getTimerCount()).toBe(0);
    await keySet.find("unknown", MAX_STALE);
    expect([fetches, vi.getTimerCount()]).toEqual([3, 0]);
  });
});
