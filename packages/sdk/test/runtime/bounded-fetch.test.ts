import { describe, expect, test } from "vitest";
import { boundedFetch, maxAgeOf, retryAfterOf } from "../../src/runtime/bounded-fetch.ts";
import { listen } from "../support/http.ts";

const bounds = { timeout: 2_000, maxBytes: 100 };
const get = (url: string, more: Partial<typeof bounds> = {}) => boundedFetch(fetch, url, {}, { ...bounds, ...more });

describe("boundedFetch", () => {
  test("returns status, headers and the whole text for any status", async () => {
    const server = await listen((_req, res) => res.writeHead(404, { "x-a": "b" }).end("ä".repeat(50)));
    const { status, headers, text } = await get(server.url);
    expect([status, headers.get("x-a"), text]).toEqual([404, "b", "ä".repeat(50)]);
  });

  test("K10 one byte too many fails the call; bytes are counted as they arrive", async () => {
    const server = await listen((req, res) => {
      res.write("x".repeat(60));
      res.end("x".repeat(req.url === "/more" ? 41 : 40));
    });
    expect((await get(server.url)).text).toHaveLength(100);
    await expect(get(`${server.url}/more`)).rejects.toThrow("larger than 100 bytes");
  });

  test("K10 the time limit covers the whole response: a slow body does not extend it", async () => {
    const server = await listen((_req, res) => {
      const timer = setInterval(() => res.write("x"), 20);
      res.on("close", () => clearInterval(timer));
    });
    const start = performance.now();
    await expect(get(server.url, { timeout: 200 })).rejects.toThrow(/timeout|aborted/i);
    expect(performance.now() - start).toBeLessThan(1_500);
  });

  test("K10 redirects are returned, never followed", async () => {
    const target = await listen((_req, res) => res.end("secret"));
    const server = await listen((req, res) => res.writeHead(Number(req.url!.slice(1)), { location: target.url }).end());
    for (const status of [301, 302, 303, 304, 307, 308]) {
      expect(await get(`${server.url}/${status}`)).toMatchObject({ status, text: "" });
    }
    expect(target.connections()).toBe(0);
  });

  test("a body that is not UTF-8 fails the call", async () => {
    const server = await listen((_req, res) => res.end(Buffer.from([0x7b, 0xff, 0x7d])));
    await expect(get(server.url)).rejects.toThrow();
  });
});

describe("maxAgeOf", () => {
  test.each([
    ["max-age=60", 60],
    ["max-age=60, must-revalidate", 60],
    ["public, max-age=0", 0],
    ["public,Max-Age=5 , x", 5],
    ["s-maxage=5", undefined],
    ["max-age=", undefined],
    ["max-age=-1", undefined],
    ["max-age=1.5", undefined],
    ["max-age=9999999999", undefined],
    ["no-store", undefined],
    [undefined, undefined],
  ])("%j means %s", (value, seconds) => {
    expect(maxAgeOf(new Headers(value === undefined ? {} : { "cache-control": value }))).toBe(seconds);
  });
});

describe("retryAfterOf", () => {
  const date = "Tue, 01 Jan 2030 00:00:00 GMT";
  test.each([
    ["0", 0],
    ["120", 120],
    ["Tue, 01 Jan 2030 00:01:00 GMT", 60],
    ["Mon, 31 Dec 2029 23:59:59 GMT", undefined],
    ["soon", undefined],
    ["-1", undefined],
    ["1.5", undefined],
    ["9999999999", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("%j means %s", (value, seconds) => {
    expect(retryAfterOf(new Headers({ date, ...(value !== undefined && { "retry-after": value }) }))).toBe(seconds);
  });

  test("a date is ignored if the response has no Date header, because the two clocks can differ", () => {
    expect(retryAfterOf(new Headers({ "retry-after": date }))).toBeUndefined();
  });
});
