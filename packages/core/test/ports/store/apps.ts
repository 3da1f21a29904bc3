import { expect, it } from "vitest";
import { storedKey } from "../../support/stored-key.ts";
import { appIdsOf, type StoreFixture } from "./fixture.ts";

export function describeApps(fixture: StoreFixture): void {
  const { epochNow, insertApps, insertKeys, snapshot, write } = fixture;
  const algorithms = async () => (await snapshot()).apps.map((app) => app.algorithms);

  it("are listed by creation", async () => {
    for (const appId of ["zebra", "apple"]) {
      await insertApps(appId);
      fixture.clock.advance(1);
    }
    expect(appIdsOf(await snapshot())).toEqual(["zebra", "apple"]);
  });

  it("are found by their exact name only (H8)", async () => {
    await insertKeys(storedKey({ appId: "shop" }));
    await write(async ({ apps, keys }) => {
      for (const appId of ["SHOP", "shop ", "sho_", "%", "' or 1=1 --", "", "shop'; drop table apps; --"]) {
        expect(await apps.find(appId)).toBeUndefined();
        expect(await keys.listIn(appId)).toEqual([]);
        expect(await apps.delete(appId)).toBe(false);
      }
    });
    expect(appIdsOf(await snapshot())).toEqual(["shop"]);
  });

  it("are created now, with no rotation due", async () => {
    await write(async ({ apps, now }) => {
      await apps.insert("new");
      expect(await apps.find("new")).toEqual({ appId: "new", createdAt: now, algorithms: null, rotationDue: false });
    });
  });

  it("exist once per name (R7)", async () => {
    await insertApps("public");
    const before = await epochNow();
    await expect(insertApps("public")).rejects.toThrow();
    expect(await epochNow()).toBe(before);
  });

  it("are deleted with their keys, and leave other apps alone", async () => {
    await insertKeys(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
    expect(await write(({ apps }) => apps.delete("one"))).toBe(true);
    expect(await write(({ apps }) => apps.delete("one"))).toBe(false);
    const after = await snapshot();
    expect([appIdsOf(after), after.keys.map((key) => key.appId)]).toEqual([["two"], ["two"]]);
  });

  it("are deleted with their revocations, and leave other apps alone", async () => {
    await insertKeys(storedKey({ appId: "one" }), storedKey({ appId: "two" }));
    await write(async ({ revocations }) => {
      for (const appId of ["one", "two"]) {
        await revocations.upsertToken({ appId, jti: "j", expiresAt: 9 });
        await revocations.upsertService({ appId, service: "orders", notBefore: 9 });
      }
    });
    await write(({ apps }) => apps.delete("one"));
    const { apps, keys, revokedTokens, revokedServices } = await snapshot();
    const left = [apps, keys, revokedTokens, revokedServices].map((rows) => rows.map((row) => row.appId));
    expect(left).toEqual([["two"], ["two"], ["two"], ["two"]]);
  });

  it("have the core's algorithms, then their own in the given order, then the core's again", async () => {
    await insertApps("public");
    expect(await algorithms()).toEqual([null]);
    await write(({ apps }) => apps.setAlgorithms("public", ["ES256", "RS256"]));
    expect(await algorithms()).toEqual([["ES256", "RS256"]]);
    await write(async ({ apps }) => {
      expect(await apps.find("public")).toMatchObject({ appId: "public", algorithms: ["ES256", "RS256"] });
      await apps.setAlgorithms("public", null);
      expect(await apps.find("public")).toMatchObject({ appId: "public", algorithms: null });
    });
    expect(await algorithms()).toEqual([null]);
  });

  it("have separate algorithms, and the epoch grows exactly when they change", async () => {
    await insertApps("one", "two");
    const start = await epochNow();
    await write(({ apps }) => apps.setAlgorithms("one", ["Ed25519"]));
    expect([await algorithms(), await epochNow()]).toEqual([[["Ed25519"], null], start + 1]);
    await write(({ apps }) => apps.setAlgorithms("one", ["Ed25519"]));
    await write(({ apps }) => apps.setAlgorithms("two", null));
    await write(({ apps }) => apps.setAlgorithms("missing", ["RS256"]));
    expect([await algorithms(), await epochNow()]).toEqual([[["Ed25519"], null], start + 1]);
  });

  it("R15 are due for rotation with a new generation, until the rotation ends", async () => {
    await insertApps("one", "two");
    const due = async () => (await snapshot()).apps.filter((app) => app.rotationDue).map((app) => app.appId);
    expect(await due()).toEqual([]);
    const raised = await write((writer) => writer.raiseGeneration());
    expect((await fixture.store.readState()).generation).toBe(raised);
    expect((await due()).sort()).toEqual(["one", "two"]);
    await write(async ({ apps }) => {
      await apps.endRotationDue("one");
      await apps.insert("three");
    });
    expect(await due()).toEqual(["two"]);
  });
}
