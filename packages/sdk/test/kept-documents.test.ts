import { describe, expect, test } from "vitest";
import type { BoundedResponse } from "../src/bounded-fetch.ts";
import { KeptDocuments } from "../src/kept-documents.ts";
import { fakeClock } from "./support/clock.ts";

const answer = (text: string, cacheControl = "max-age=60"): BoundedResponse => ({
  status: 200,
  headers: new Headers({ "cache-control": cacheControl }),
  text,
});

function bench() {
  const clock = fakeClock();
  const kept = new KeptDocuments(clock);
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

describe("KeptDocuments", () => {
  test("asks once per max-age", async () => {
    const { clock, get, asked } = bench();
    expect(await get(async () => answer("one"))).toBe("one");
    clock.advance(59);
    expect(await get(async () => answer("two"))).toBe("one");
    clock.advance(2);
    expect(await get(async () => answer("three"))).toBe("three");
    expect(asked()).toBe(2);
  });

  test("everybody who waits shares one request", async () => {
    const { get, asked } = bench();
    expect(new Set(await Promise.all(Array.from({ length: 100 }, () => get(async () => answer("one")))))).toEqual(
      new Set(["one"]),
    );
    expect(asked()).toBe(1);
  });

  test("an old one is given for a day while the core is away, and the core is left alone for two seconds", async () => {
    const { clock, get, asked } = bench();
    await get(async () => answer("one"));
    clock.advance(3600);
    expect([await get(away), await get(away), asked()]).toEqual(["one", "one", 2]);
    clock.advance(2);
    expect([await get(away), asked()]).toEqual(["one", 3]);
    clock.advance(86_400);
    await expect(get(away)).rejects.toThrow("away");
  });

  test("R9 a core that hangs delays an old one by a second, not by its own timeout", async () => {
    const { clock, get } = bench();
    await get(async () => answer("one"));
    clock.advance(61);
    const began = performance.now();
    expect(await get(hanging)).toBe("one");
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test("without an old one, a failure is told, and told again without asking", async () => {
    const { get, asked } = bench();
    await expect(get(away)).rejects.toThrow("away");
    await expect(get(async () => answer("one"))).rejects.toThrow("away");
    expect(asked()).toBe(1);
  });
});
