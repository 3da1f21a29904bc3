import { expect, it, vi } from "vitest";
import type { StoreFixture } from "./fixture.ts";

export function describeWatching(fixture: StoreFixture): void {
  if (fixture.traits.notifies) {
    it("notifies of another store's change within a second, until it is stopped", async () => {
      const other = await fixture.open();
      let [notified, stopped] = [0, 0];
      fixture.store.watch(() => notified++);
      const stop = fixture.store.watch(() => stopped++);
      await vi.waitFor(() => expect([notified, stopped]).toEqual([1, 1])); // it is connected now
      stop();
      const began = performance.now();
      await other.write(({ apps }) => apps.insert("public"));
      await vi.waitFor(() => expect(notified).toBe(2), { interval: 5 });
      expect(performance.now() - began).toBeLessThan(1_000);
      // A transaction without changes sends nothing: the next notification is that of the second transaction.
      await other.write(({ keys }) => keys.listIn("public"));
      await other.write(({ apps }) => apps.delete("public"));
      await vi.waitFor(() => expect(notified).toBe(3), { interval: 5 });
      expect(stopped).toBe(1);
    });
  }

  it("can be stopped twice, and the poll interval is between 0.5 and 5 s", () => {
    const stop = fixture.store.watch(() => {});
    stop();
    stop();
    expect(fixture.store.pollInterval).toBeGreaterThanOrEqual(500);
    expect(fixture.store.pollInterval).toBeLessThanOrEqual(5_000);
  });
}
