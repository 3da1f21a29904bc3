import { randomBytes } from "node:crypto";

/** Generates the ID of a credential or a trusted identity. IDs are not secret. */
export function newId(): string {
  return randomBytes(6).toString("hex");
}

/** Reports whether text has the form of an ID. Other text must not reach the database, which might normalize it. */
export function isId(text: string): boolean {
  return /^[0-9a-f]{12}$/.test(text);
}
