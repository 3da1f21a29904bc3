import type { Context } from "hono";
import type { Env, Services } from "../environment.ts";
import { refuseText } from "../errors.ts";

/** `/hello`: whether the core and its store are well, for whoever asks. */
export function helloHandler({ store, log }: Services): (c: Context<Env>) => Promise<Response> {
  return async (c) => {
    try {
      await store.readState();
    } catch (error) {
      log.error({ err: error }, "the store cannot be read");
      return refuseText(c, 500, "Internal Error");
    }
    return c.body("Hello", 200, { "content-type": "text/plain; charset=utf-8" });
  };
}
