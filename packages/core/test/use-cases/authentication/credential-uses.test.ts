import { beforeEach, expect, it, onTestFinished } from "vitest";
import { StoreUnavailable } from "../../../src/ports/store.ts";
import { startBackgroundJobs } from "../../../src/use-cases/background/background-jobs.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { IDLE_UPKEEP, startInstance, type Instance } from "../../support/instance.ts";

const MINUTE = 60_000;

let instance: Instance;
let credential: string;
let writes: number;
let away: boolean;
beforeEach(async () => {
  away = false;
  instance = await startInstance({
    storeOf: (real) => ({
      ...real,
      write: (work) => {
        writes++;
        return away ? Promise.reject(new StoreUnavailable("away")) : real.write(work);
      },
    }),
  });
  await instance.manageServices.register("public", "orders");
  const added = await instance.manageServices.addCredential("public", "orders", null);
  if (!added.ok) throw new Error(added.problem);
  credential = added.value.credential;
  writes = 0;
});
const use = () => expect(instance.authenticate(credential, "public")).toBeDefined();
const stored = async () => (await instance.store.readCredentials("public", "orders"))[0]!.lastUsedAt;

it("stores a credential's use at most once a minute, without a change of the epoch", async () => {
  const { uses, clock, store } = instance;
  const { epoch } = await store.readState();
  for (let i = 0; i < 1_000; i++) use();
  await uses.flush();
  expect([writes, await stored()]).toEqual([0, null]);
  clock.advance(MINUTE);
  await uses.flush();
  await uses.flush();
  expect([writes, await stored()]).toEqual([1, NEW_YEAR]);
  clock.advance(MINUTE);
  await uses.flush(); // nothing new
  expect(writes).toBe(1);
  use();
  await uses.flushNow();
  expect([writes, await stored()]).toEqual([2, NEW_YEAR + 2 * MINUTE]);
  expect((await store.readState()).epoch).toBe(epoch);
});

it("stores uses later if the store was unavailable", async () => {
  const { uses, clock } = instance;
  use();
  away = true;
  await expect(uses.flushNow()).rejects.toThrow("away");
  clock.advance(MINUTE);
  use();
  away = false;
  await uses.flushNow();
  expect(await stored()).toBe(NEW_YEAR + MINUTE);
});

it("stores its recorded uses when the instance stops", async () => {
  const { store, state, rotateKeys, uses, reports, log } = instance;
  const parts = { ...IDLE_UPKEEP, store, state, rotateKeys, uses, reports, log };
  const upkeep = startBackgroundJobs(parts, 1);
  onTestFinished(() => upkeep.stop());
  use();
  await upkeep.stop();
  expect(await stored()).toBe(NEW_YEAR);
});

it("does not recreate a deleted credential because it was used", async () => {
  const { uses, manageServices, store } = instance;
  use();
  await manageServices.delete("public", "orders");
  await uses.flushNow();
  expect((await store.readSnapshot()).credentials).toEqual([]);
});
