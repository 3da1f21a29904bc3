import type { HttpContext } from "./http-context.ts";

/** Returns the key in a request: `Api-Key: K`, `Authorization: Bearer K`, or `Authorization: K`. */
export function presentedKey(c: HttpContext): string | undefined {
  return c.header("api-key") ?? c.header("authorization")?.replace(/^bearer /i, "");
}
