import type { Context } from "hono";
import type { Env, UseCases } from "../request/use-cases.ts";
import { refuseText } from "../request/responses.ts";

/** Milliseconds that one look at the store answers for: nobody has to authenticate here, and anybody may ask often. */
const REMEMBERED = 1_000;

/** `/hello`: whether the core and its store are well, for whoever asks. What is wrong is in the log already. */
export function helloHandler({ store }: UseCases): (c: Context<Env>) => Promise<Response> {
  let well: Promise<boolean> = Promise.resolve(true);
  let lookAgainAt = 0;

  async function look(): Promise<boolean> {
    const found = await store.readState().then(
      () => true,
      () => false,
    );
    lookAgainAt = performance.now() + REMEMBERED;
    return found;
  }

  return async (c) => {
    if (performance.now() >= lookAgainAt) {
      lookAgainAt = Infinity; // until this one is done
      well = look();
    }
    if (!(await well)) return refuseText(c, 500, "Internal Error");
    return c.body("Hello", 200, { "content-type": "text/plain; charset=utf-8" });
  };
}
