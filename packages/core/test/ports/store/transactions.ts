import { expect, it } from "vitest";
import { DEFAULT_ROTATION } from "../../../src/domain/keys/rotation.ts";
import type { Store } from "../../../src/ports/store.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { storedKey } from "../../support/stored-key.ts";
import { appIdsOf, EMPTY_CONTENT, EMPTY_SNAPSHOT, type StoreFixture } from "./fixture.ts";

export function describeTransactions(fixture: StoreFixture): void {
  const { content, epochNow, insertApps, insertKeys, open, snapshot, write } = fixture;

  it("start with an empty store in its first generation", async () => {
    const { epoch: first, now, ...rest } = await snapshot();
    expect(rest).toEqual({ generation: 1, ...EMPTY_SNAPSHOT });
    expect(await fixture.store.readState()).toEqual({ epoch: first, generation: 1, now: expect.any(Number) });
    expect(now).toSatisfy(Number.isInteger);
  });

  if (fixture.traits.settableClock) {
    it("read the store's clock (R8)", async () => {
      expect((await snapshot()).now).toBe(NEW_YEAR);
      fixture.clock.advance(1_234);
      expect((await fixture.store.readState()).now).toBe(NEW_YEAR + 1_234);
      expect(await write(async (writer) => writer.now)).toBe(NEW_YEAR + 1_234);
    });
  }

  it("increment the epoch exactly when they change something", async () => {
    const start = await epochNow();
    await insertKeys(storedKey({ kid: "a" }), storedKey({ kid: "b", sequence: 2 }));
    expect(await epochNow()).toBe(start + 1);
    await write(async ({ apps, keys }) => {
      await apps.find("public");
      await keys.listIn("public");
      await apps.delete("missing");
      await keys.delete("public", "missing");
    });
    expect(await epochNow()).toBe(start + 1);
    await write(({ keys }) => keys.delete("public", "a"));
    expect(await epochNow()).toBe(start + 2);
    await write(({ apps }) => apps.delete("public"));
    expect(await epochNow()).toBe(start + 3);
  });

  it("undo everything if they fail, and the store remains usable", async () => {
    const before = await content();
    const failing = write(async ({ apps, keys }) => {
      await apps.insert("half");
      await keys.insert(storedKey({ appId: "half" }));
      throw new Error("on purpose");
    });
    await expect(failing).rejects.toThrow("on purpose");
    expect(await content()).toEqual(before);
    await insertApps("public");
    expect(appIdsOf(await snapshot())).toEqual(["public"]);
  });

  it("are visible to others only once they are committed", async () => {
    const reader = await open();
    await write(async ({ apps }) => {
      await apps.insert("public");
      expect(appIdsOf(await reader.readSnapshot())).toEqual([]);
      expect(appIdsOf(await snapshot())).toEqual([]);
      expect(await apps.find("public")).toMatchObject({ appId: "public", algorithms: null });
    });
    expect(appIdsOf(await reader.readSnapshot())).toEqual(["public"]);
  });

  it("run one after another, also those of another instance (R7)", async () => {
    await insertKeys(storedKey());
    const other = await open();
    const next = (one: Store) =>
      one.write(async ({ keys }) => {
        const sequence = Math.max(...(await keys.listIn("public")).map((key) => key.sequence)) + 1;
        await keys.insert(storedKey({ kid: `k-${sequence}`, sequence }));
      });
    await Promise.all(Array.from({ length: 20 }, (_, i) => next(i % 2 === 0 ? fixture.store : other)));
    const { keys } = await other.readSnapshot();
    expect(keys.map((key) => key.sequence)).toEqual(Array.from({ length: 21 }, (_, i) => i + 1));
  });

  it("never let a reader see an epoch with the rows of another one", async () => {
    await insertKeys(storedKey({ sequence: 1 }));
    const reader = await open();
    const base = (await reader.readState()).epoch - 1;
    const writing = (async () => {
      for (let i = 2; i <= 20; i++) await insertKeys(storedKey({ kid: `k-${i}`, sequence: i }));
    })();
    for (let i = 0; i < 40; i++) {
      const { epoch, keys } = await reader.readSnapshot();
      expect(keys).toHaveLength(epoch - base);
    }
    await writing;
  });

  it("know the store's order and its apps under the lock", async () => {
    await insertApps("one");
    const { epoch: before, generation } = await fixture.store.readState();
    await write(async (writer) => {
      await writer.apps.insert("two");
      expect(await writer.order()).toEqual({ epoch: before, generation });
      expect((await writer.apps.list()).map((app) => app.appId).sort()).toEqual(["one", "two"]);
    });
  });

  it("raise the generation to the time, the next number or above another one, and the epoch too (R15)", async () => {
    const raise = async (above?: number) => {
      await write((writer) => writer.raiseGeneration(above));
      return (await (await open()).readState()).generation;
    };
    const start = await epochNow();
    const first = await raise();
    expect(first).toBeGreaterThanOrEqual(NEW_YEAR / 1000);
    expect(first).toBeLessThanOrEqual((await fixture.store.readState()).now / 1000);
    const second = await raise();
    expect(second).toBeGreaterThan(first);
    expect(await raise(second + 1_000_000)).toBe(second + 1_000_001);
    expect(await raise(5)).toBe(second + 1_000_002);
    expect(await epochNow()).toBe(start + 4);
  });

  it("store the rotation policy without a change of the epoch, and keep it when other content changes", async () => {
    const start = await epochNow();
    expect((await snapshot()).rotation).toBeUndefined();
    const short = { ...DEFAULT_ROTATION, lead: 1, algorithms: ["ES256", "RS256"] as const };
    for (const rotation of [DEFAULT_ROTATION, short]) {
      await write((writer) => writer.setRotation(rotation));
      expect((await (await open()).readSnapshot()).rotation).toEqual(rotation);
    }
    expect(await epochNow()).toBe(start);
    await write(async (writer) => {
      await writer.replaceContent(EMPTY_CONTENT);
      await writer.raiseGeneration();
    });
    expect((await snapshot()).rotation).toEqual(short);
  });

  it("survive closing and reopening", async () => {
    await insertKeys(storedKey({ kid: "a" }));
    const before = await content();
    await fixture.reopen();
    expect(await content()).toEqual(before);
  });
}
