import type { HttpContext } from "./http-context.ts";

/** The type parameter of the admin API's Hono app: handlers find the request in `c.env`. */
export interface AdminEnv {
  Bindings: HttpContext;
}
