import { afterEach, vi } from "vitest";
import { KeyRing } from "../../src/use-cases/key-ring.ts";

const registered = new Set<string>();
afterEach(() => {
  registered.clear();
  vi.restoreAllMocks();
});

export async function registerServices(names: readonly string[]): Promise<void> {
  for (const name of names) registered.add(name);
  vi.spyOn(KeyRing.prototype, "serviceNamesOf").mockReturnValue(registered);
}
