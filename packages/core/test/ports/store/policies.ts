import { beforeEach, expect, it } from "vitest";
import { sorted, type StoreFixture } from "./fixture.ts";

export function describePolicies(fixture: StoreFixture): void {
  const { epochNow, insertApps, open, snapshot, write } = fixture;
  const apply = (document: string, appId = "public", appliedBy = "anna") =>
    write(({ policies }) => policies.insert(appId, document, appliedBy));
  beforeEach(() => insertApps("public", "other"));

  it("are numbered in their app, and the last one is current", async () => {
    const start = await epochNow();
    const first = await apply("one");
    expect(first).toEqual({
      appId: "public",
      version: 1,
      document: "one",
      appliedBy: "anna",
      appliedAt: expect.any(Number),
    });
    fixture.clock.advance(5);
    const second = await apply("two", "public", "'; drop table policy_versions; -- \u{1f511}");
    const foreign = await apply("three", "other");
    expect([second.version, foreign.version, (await epochNow()) - start]).toEqual([2, 1, 3]);
    expect(sorted((await (await open()).readSnapshot()).policies)).toEqual(sorted([second, foreign]));
    await write(async ({ policies }) => {
      expect(await policies.current("public")).toEqual(second);
      expect(await policies.current("missing")).toBeUndefined();
    });
    if (fixture.traits.settableClock) expect(second.appliedAt - first.appliedAt).toBe(5);
  });

  it("keep every version, listed newest first and read by number", async () => {
    const { store } = fixture;
    const applied = [await apply("one"), await apply("two"), await apply("x".repeat(262_144))];
    await apply("other", "other");
    const listed = await store.readPolicyVersions("public");
    const withoutDocument = applied.map(({ appId, version, appliedAt, appliedBy }) => {
      return { appId, version, appliedAt, appliedBy };
    });
    expect(listed).toEqual(withoutDocument.toReversed());
    expect(await store.readPolicyVersions("missing")).toEqual([]);
    for (const one of applied) expect(await store.readPolicy("public", one.version)).toEqual(one);
    for (const version of [0, -1, 4, 2 ** 53]) expect(await store.readPolicy("public", version)).toBeUndefined();
    const { policyVersions, epoch } = await store.readContent();
    expect([policyVersions.filter(({ appId }) => appId === "public"), epoch]).toEqual([applied, await epochNow()]);
  });

  it("get different numbers when they are applied at the same time", async () => {
    const stores = [fixture.store, await open()];
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        stores[i % 2]!.write(({ policies }) => policies.insert("public", String(i), "anna")),
      ),
    );
    expect(all.map(({ version }) => version).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect((await snapshot()).policies[0]).toEqual(all.find(({ version }) => version === 10));
  });

  it("need an app and are deleted with it", async () => {
    await expect(apply("one", "missing")).rejects.toThrow();
    await apply("one");
    await apply("two", "other");
    await write(({ apps }) => apps.delete("public"));
    const left = (await fixture.store.readContent()).policyVersions.map(({ appId }) => appId);
    expect([left, await fixture.store.readPolicyVersions("public")]).toEqual([["other"], []]);
    await insertApps("public");
    expect((await apply("three")).version).toBe(1);
  });

  it("have reported calls, returned as they were inserted and without a change of the epoch", async () => {
    const { store } = fixture;
    const call = (scope: string | null, caller: string | undefined = "orders") => {
      return { caller, callee: caller && "stock", scope, count: 3, firstAt: 5, lastAt: 2 ** 40 };
    };
    const calls = [call(null), call("stock:read"), call("'; drop table reported_calls; --"), call(null, "cart")];
    const others = { ...call(null), caller: undefined, callee: undefined };
    const many = Array.from({ length: 1_000 }, (_, i) => call(`s${i}`));
    const start = await epochNow();
    for (const rows of [calls, [others, ...many], [call("again")], []]) {
      await write(({ policies }) => policies.replaceReported("public", rows));
      expect(sorted(await store.readReported("public"))).toEqual(sorted(rows));
      await write(async ({ policies }) => {
        expect(sorted(await policies.reportedIn("public"))).toEqual(sorted(rows));
        await policies.replaceReported("other", [call("theirs")]);
      });
    }
    expect([await epochNow(), await store.readReported("missing")]).toEqual([start, []]);
    await write(({ apps }) => apps.delete("other"));
    expect(await store.readReported("other")).toEqual([]);
  });
}
