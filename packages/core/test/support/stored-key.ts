import { randomBytes } from "node:crypto";
import type { StoredKey } from "../../src/ports/store.ts";
import { signingKey } from "./keys.ts";

/** Returns a key as a store keeps it. Its envelope is random bytes, which a store does not interpret. */
export function storedKey(facts: Partial<StoredKey> = {}): StoredKey {
  return Object.freeze({
    ...signingKey(facts),
    sealedPrivateKey: randomBytes(150),
    masterKeyId: "0123456789abcdef",
    ...facts,
  });
}
