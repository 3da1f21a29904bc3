import { randomBytes } from "node:crypto";

/** Names a credential or a trust where it is listed and ended. Nothing depends on its being secret. */
export function newId(): string {
  return randomBytes(6).toString("hex");
}

/** Whether one can be called so: what is not is not asked the store for, which may read it as another one. */
export function isId(text: string): boolean {
  return /^[0-9a-f]{12}$/.test(text);
}
