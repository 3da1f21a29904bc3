// The background jobs of an instance, and what they log if they fail.
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { embedCore } from "../../../src/index.ts";
import { StoreUnavailable } from "../../../src/ports/store.ts";
import { startBackgroundJobs } from "../../../src/use-cases/background/background-jobs.ts";
import { fakeClock } from "../../support/clock.ts";
import { IDLE_UPKEEP, openInstance } from "../../support/instance.ts";
import { recordedLog } from "../../support/log.ts";
import { openDatabase } from "../../support/sqlite.ts";
import { tempDir } from "../../support/temp-dir.ts";

const nothing = async () => {};
const written = { flush: nothing, flushNow: nothing };
const idle = { ...IDLE_UPKEEP, uses: written, reports: written };

it("logs each kind of failure once, also a new one during another, and each recovery", async () => {
  const { store, state, rotateKeys, log } = await openInstance();
  await rotateKeys.provisionApp("public");
  let failure: Error | undefined;
  let polls = 0;
  const failing = {
    ...rotateKeys,
    async rotateAll() {
      polls++;
      if (failure !== undefined) throw failure;
    },
  };
  const parts = { ...idle, store, state, rotateKeys: failing, log };
  log.lines.length = 0;
  const upkeep = startBackgroundJobs(parts, 1);
  onTestFinished(() => upkeep.stop());
  const pollWith = async (error: Error | undefined) => {
    failure = error;
    const before = polls;
    await vi.waitFor(() => expect(polls).toBeGreaterThan(before + 3));
  };
  await pollWith(undefined);
  await pollWith(new StoreUnavailable("locked"));
  await pollWith(new RangeError("a date moved"));
  await pollWith(new StoreUnavailable("gone"));
  await pollWith(undefined);
  await pollWith(new RangeError("a date moved"));
  await pollWith(undefined);
  expect(log.lines.map((line) => line.split(/ [{[]/)[0])).toEqual([
    "error store unavailable, serving from memory",
    "error key maintenance failed, will retry",
    "info store available",
    "error key maintenance failed, will retry",
    "info key maintenance recovered",
  ]);
  expect(log.lines[1]).toContain("a date moved");
});

it("creates the default app if a restored store has none", async () => {
  const { store, state, rotateKeys, log } = await openInstance();
  const parts = { ...idle, store, state, rotateKeys, log };
  const upkeep = startBackgroundJobs(parts, 1);
  onTestFinished(() => upkeep.stop());
  await vi.waitFor(() => expect(state.signer("public", "static", "ES256")).toBeDefined());
});

it("R18 a core closes within the timeout of one lock, however many apps are due", async () => {
  const dataDir = join(await tempDir(), "data");
  const clock = fakeClock();
  const log = recordedLog();
  const core = await embedCore({ dataDir, rotation: { algorithms: ["ES256"] } }, { clock, environment: {}, log });
  for (const appId of ["a", "b", "c"]) {
    const body = JSON.stringify({ appId });
    const request = new Request("http://core.invalid/recipe/multitenancy/app/v2", { method: "PUT", body });
    expect((await core.fetch(request)).status).toBe(200);
  }
  const prepared = () => log.lines.filter((line) => line.includes("signing key created")).length;
  await vi.waitFor(() => expect(prepared()).toBe(12), { timeout: 5_000 });
  const foreign = await openDatabase(join(dataDir, "countersign.db"));
  foreign.exec("begin immediate");
  clock.advance(7 * 86_400_000); // every app's successor is due
  await new Promise((resolve) => setTimeout(resolve, 1_200)); // a poll has begun, and waits
  const began = performance.now();
  await core.close();
  expect(performance.now() - began).toBeLessThan(6_000);
  foreign.close();
});
