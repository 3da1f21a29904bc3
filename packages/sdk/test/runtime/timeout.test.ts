import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { withTimeout } from "../../src/runtime/timeout.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const settlesAfter = (ms: number, settle: (resolve: (value: string) => void, reject: (error: Error) => void) => void) =>
  new Promise<string>((resolve, reject) => setTimeout(() => settle(resolve, reject), ms));

test("resolves with the value of a promise that is in time, and leaves no timer", async () => {
  const result = withTimeout(
    settlesAfter(999, (resolve) => resolve("value")),
    1_000,
    undefined,
  );
  await vi.advanceTimersByTimeAsync(999);
  expect(await result).toBe("value");
  expect(vi.getTimerCount()).toBe(0);
});

test("rejects with the error of a promise that is in time, and leaves no timer", async () => {
  const result = withTimeout(
    settlesAfter(1, (_resolve, reject) => reject(new Error("failed"))),
    1_000,
    undefined,
  );
  const rejection = expect(result).rejects.toThrow("failed");
  await vi.advanceTimersByTimeAsync(1);
  await rejection;
  expect(vi.getTimerCount()).toBe(0);
});

test("resolves with the fallback when the time is up, and a late rejection is handled", async () => {
  const result = withTimeout(
    settlesAfter(2_000, (_resolve, reject) => reject(new Error("late"))),
    1_000,
    "fallback",
  );
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await result).toBe("fallback");
  await vi.advanceTimersByTimeAsync(1_000); // an unhandled rejection would fail the run
});
