import { hash } from "node:crypto";

/** SHA-256 as base64url text: `hash` returns bytes four times slower. */
export function digestOf(key: string): string {
  return hash("sha256", key, "base64url");
}
