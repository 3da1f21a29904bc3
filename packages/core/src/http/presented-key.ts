import type { Context } from "hono";
import type { Env } from "./environment.ts";

/** The key that a request brought: `Api-Key: K`, `Authorization: Bearer K`, or just `K` there. */
export function presentedKey(c: Context<Env>): string | undefined {
  return c.req.header("api-key") ?? c.req.header("authorization")?.replace(/^bearer /i, "");
}
