import type { Countersign } from "./countersign.ts";

/** A property of `globalThis`, because the ESM and the CommonJS build of this package share the instance. */
const KEY = Symbol.for("countersign.default-instance");
const holder = globalThis as { [KEY]?: Countersign };

export function defaultInstance(): Countersign | undefined {
  return holder[KEY];
}

export function setDefaultInstance(instance: Countersign | undefined): void {
  if (instance === undefined) delete holder[KEY];
  else holder[KEY] = instance;
}
