import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { createEnvelopeVault } from "../../src/adapters/vault/envelope-vault.ts";
import { StoreUnavailable, type Store } from "../../src/ports/store.ts";
import { NEW_YEAR } from "../support/clock.ts";
import { openInstance, type Instance } from "../support/instance.ts";

const DAY = 86_400_000;

/** A store that can be unavailable: every method rejects then, as the real one does if the disk fails. */
function interruptible(): { storeOf: (real: Store) => Store; away: boolean; reads: string[] } {
  const self = {
    away: false,
    reads: [] as string[],
    storeOf: (real: Store): Store => ({
      ...real,
      readState: () => pass("state", real.readState),
      readSnapshot: () => pass("snapshot", real.readSnapshot),
      readCredentials: (appId, service) => pass("credentials", () => real.readCredentials(appId, service)),
      write: (work) => (self.away ? Promise.reject(new StoreUnavailable("away")) : real.write(work)),
      watch: (listener) => real.watch(listener),
      pollInterval: real.pollInterval,
      close: () => real.close(),
    }),
  };
  function pass<T>(name: string, read: () => Promise<T>): Promise<T> {
    self.reads.push(name);
    return self.away ? Promise.reject(new StoreUnavailable("away")) : read();
  }
  return self;
}

describe("the instance state", () => {
  const line = interruptible();
  let instance: Instance;
  beforeEach(async () => {
    line.away = false;
    instance = await openInstance({ storeOf: line.storeOf });
    await instance.rotateKeys.provisionApp("public");
    await instance.rotateKeys.rotateAll();
    line.reads.length = 0;
  });

  it("reads everything only when the epoch has changed", async () => {
    const { state, store } = instance;
    await state.refresh();
    expect(line.reads).toEqual(["state"]);
    await store.write((writer) => writer.apps.insert("other"));
    await state.refresh();
    expect(line.reads).toEqual(["state", "state", "snapshot"]);
    expect(state.hasApp("other")).toBe(true);
  });

  it("finds a signer, a key set and a private key without reading the store", async () => {
    const { state } = instance;
    const key = state.signer("public", "static", "ES256")!;
    await state.privateKeyOf(key);
    state.publishedSets("public");
    expect(line.reads).toEqual([]);
  });

  it("sees every earlier write in a refresh, for any number of concurrent refreshes", async () => {
    const { state, store } = instance;
    const early = state.refresh();
    await store.write((writer) => writer.apps.insert("written"));
    const late = state.refresh();
    await Promise.all([early, late, state.refresh()]);
    expect(state.hasApp("written")).toBe(true);
  });

  it("shares one read of a slow store between all waiting refreshes", async () => {
    const { state } = instance;
    const asked = [state.refresh()];
    await vi.waitFor(() => expect(line.reads).toHaveLength(1)); // The first read is in progress.
    for (let i = 0; i < 200; i++) asked.push(state.refresh());
    await Promise.all(asked);
    expect(line.reads).toEqual(["state", "state"]);
    await state.refresh();
    expect(line.reads).toHaveLength(3);
  });

  it("keeps its data while the store is unavailable, and reports its age (R4)", async () => {
    const { state, clock } = instance;
    const before = state.publishedSets("public");
    line.away = true;
    clock.advance(60_000);
    await expect(state.refresh()).rejects.toThrow(StoreUnavailable);
    expect(state.publishedSets("public")).toBe(before);
    expect(state.age()).toBe(60_000);
    expect(state.now()).toBe(clock.now());
    line.away = false;
    await state.refresh();
    expect(state.age()).toBe(0);
  });

  it("uses only the store's clock (R8)", async () => {
    const { state, clock } = instance;
    clock.setWall(NEW_YEAR + 12_345);
    expect(state.now()).toBe(NEW_YEAR);
    await state.refresh();
    expect(state.now()).toBe(NEW_YEAR + 12_345);
    clock.advance(1_000);
    expect(state.now()).toBe(NEW_YEAR + 13_345);
  });

  it("changes the signer and the sets at the exact millisecond, without the store (R4)", async () => {
    const { state, clock } = instance;
    line.away = true;
    const first = state.signer("public", "dynamic", "ES256")!;
    const before = state.publishedSets("public")!;
    clock.advance(7 * DAY - 1);
    expect(state.signer("public", "dynamic", "ES256")).toBe(first);
    expect(state.publishedSets("public")).toBe(before);
    clock.advance(1);
    const second = state.signer("public", "dynamic", "ES256")!;
    expect([first.sequence, second.sequence]).toEqual([1, 2]);
    const after = state.publishedSets("public")!;
    expect(after.all.etag).not.toBe(before.all.etag);
    expect(after.all.keys.map((key) => key.kid).slice(1)).toEqual([second.kid, first.kid]);
    clock.advance(30 * DAY - 1);
    expect(state.publishedSets("public")!.all.keys).toHaveLength(3);
    clock.advance(1);
    expect(state.publishedSets("public")!.all.keys.map((key) => key.kid)).not.toContain(first.kid);
  });

  it("finds nothing for an unknown app", () => {
    for (const appId of ["ghost", "", "__proto__", "constructor"]) {
      expect([
        instance.state.publishedSets(appId),
        instance.state.signer(appId, "static", "ES256"),
        instance.state.hasApp(appId),
        instance.state.keysOf(appId),
      ]).toEqual([undefined, undefined, false, []]);
    }
  });

  it("separates RSA and other keys in its two sets", async () => {
    const both = await openInstance({ rotation: { algorithms: ["RS256", "Ed25519"] } });
    await both.rotateKeys.provisionApp("public");
    const { rsa, all } = both.state.publishedSets("public")!;
    expect(rsa.keys.map((key) => key.kty)).toEqual(["RSA", "RSA"]);
    expect(all.keys.map((key) => key.kty).sort()).toEqual(["OKP", "OKP", "RSA", "RSA"]);
    expect(JSON.parse(all.body)).toEqual({ keys: all.keys });
  });

  it("decrypts a private key once, and retries after a failure (S8)", async () => {
    const { dataDir, clock } = instance;
    const wrong = createEnvelopeVault([randomBytes(32)]);
    const withoutKey = await openInstance({ dataDir, clock, vault: wrong });
    const key = withoutKey.state.signer("public", "static", "ES256")!;
    await expect(withoutKey.state.privateKeyOf(key)).rejects.toThrow();
    const again = withoutKey.state.privateKeyOf(key);
    await expect(again).rejects.toThrow();
    const mine = instance.state.signer("public", "static", "ES256")!;
    const opened = instance.state.privateKeyOf(mine);
    expect(instance.state.privateKeyOf(mine)).toBe(opened);
    expect((await opened).type).toBe("private");
  });

  it("evicts an app that any instance removed (K5)", async () => {
    const { dataDir, clock, state } = instance;
    const other = await openInstance({ dataDir, clock });
    await other.store.write((writer) => writer.apps.delete("public"));
    expect(state.hasApp("public")).toBe(true);
    await state.refresh();
    expect([state.hasApp("public"), state.publishedSets("public")]).toEqual([false, undefined]);
  });
});
