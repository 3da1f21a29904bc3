import { describe, expect, test } from "vitest";
import type { BoundedResponse } from "../../src/runtime/bounded-fetch.ts";
import { DocumentCache } from "../../src/core-client/document-cache.ts";
import { fakeClock } from "../support/clock.ts";

const answer = (text: string, cacheControl = "max-age=60, stale-if-error=86400", status = 200): BoundedResponse => ({
  status,
  headers: new Headers({ "cache-control": cacheControl }),
  text,
});

function bench() {
  const clock = fakeClock();
  const kept = new DocumentCache(clock);
  let asked = 0;
  const get = async (ask: () => Promise<BoundedResponse>) =>
    (
      await kept.get("/x", () => {
        asked++;
        return ask();
      })
    ).text;
  return { clock, get, asked: () => asked };
}
const away = () => Promise.reject(new Error("away"));
const hanging = () => new Promise<BoundedResponse>(() => {});

describe("DocumentCache", () => {
  test("fetches once per max-age", async () => {
    const { clock, get, asked } = bench();
    expect(await get(async () => answer("one"))).toBe("one");
    clock.advance(59);
    expect(await get(async () => answer("two"))).toBe("one");
    clock.advance(2);
    expect(await get(async () => answer("three"))).toBe("three");
    expect(asked()).toBe(2);
  });

  test("all waiting callers share one request", async () => {
    const { get, asked } = bench();
    expect(new Set(await Promise.all(Array.from({ length: 100 }, () => get(async () => answer("one")))))).toEqual(
      new Set(["one"]),
    );
    expect(asked()).toBe(1);
  });

  test("a stale document is returned for a day while the core is down, and the core gets no request for two seconds", async () => {
    const { clock, get, asked } = bench();
    await get(async () => answer("one"));
    clock.advance(3600);
    expect([await get(away), await get(away), asked()]).toEqual(["one", "one", 2]);
    clock.advance(2);
    expect([await get(away), asked()]).toEqual(["one", 3]);
    clock.advance(86_400);
    await expect(get(away)).rejects.toThrow("away");
  });

  test.each(["max-age=10, public", "max-age=10, stale-if-error=0", "no-store"])(
    "R17 a document with %s is not returned after its max-age: the revocation feed must not be stale",
    async (cacheControl) => {
      const { clock, get } = bench();
      await get(async () => answer("nothing is revoked", cacheControl));
      clock.advance(61);
      await expect(get(away)).rejects.toThrow("away");
      clock.advance(3);
      expect(await get(async () => answer("one is revoked", cacheControl))).toBe("one is revoked");
    },
  );

  test("a response that is not a document replaces none, and is not cached", async () => {
    const { clock, get, asked } = bench();
    await get(async () => answer("one"));
    for (const status of [302, 400, 403, 413]) {
      clock.advance(61);
      expect(await get(async () => answer("refused", "max-age=60", status))).toBe("one");
    }
    const fresh = bench();
    const refused = async () => answer("refused", "max-age=60", 403);
    expect([await fresh.get(refused), await fresh.get(refused), fresh.asked()]).toEqual(["refused", "refused", 1]);
    fresh.clock.advance(3);
    expect([await fresh.get(async () => answer("two")), asked()]).toEqual(["two", 5]);
  });

  test.each([401, 404])("a %s means that the document does not exist, and deletes a cached one", async (status) => {
    const { clock, get } = bench();
    await get(async () => answer("one"));
    clock.advance(61);
    expect(await get(async () => answer("none", "max-age=60", status))).toBe("none");
    clock.advance(30);
    expect(await get(away)).toBe("none");
  });

  test("R9 a core that hangs delays a stale document by a second, not by its own timeout", async () => {
    const { clock, get } = bench();
    await get(async () => answer("one"));
    clock.advance(61);
    const began = performance.now();
    expect(await get(hanging)).toBe("one");
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test("without a cached document, a failure is thrown, and thrown again without a request", async () => {
    const { get, asked } = bench();
    await expect(get(away)).rejects.toThrow("away");
    await expect(get(async () => answer("one"))).rejects.toThrow("away");
    expect(asked()).toBe(1);
  });
});
