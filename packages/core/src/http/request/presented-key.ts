import type { Context } from "hono";
import type { Env } from "./use-cases.ts";
import { headerOf } from "./request-header.ts";

/** The key that a request brought: `Api-Key: K`, `Authorization: Bearer K`, or just `K` there. */
export function presentedKey(c: Context<Env>): string | undefined {
  return headerOf(c, "api-key") ?? headerOf(c, "authorization")?.replace(/^bearer /i, "");
}
