import { randomBytes } from "node:crypto";
import type { StoredKey } from "../../src/ports/store.ts";
import { signingKey } from "./keys.ts";

/** A key as a store keeps it; its envelope is random bytes, which is all that a store knows of it. */
export function storedKey(facts: Partial<StoredKey> = {}): StoredKey {
  return Object.freeze({
    ...signingKey(facts),
    sealedPrivateKey: randomBytes(150),
    masterKeyId: "0123456789abcdef",
    ...facts,
  });
}
