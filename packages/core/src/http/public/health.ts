import type { HttpContext } from "../request/http-context.ts";
import { textResponse, type CoreResponse } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";

/** Milliseconds for which a check of the store is valid. Clients need no key here and can ask as often as they want. */
const VALID_FOR = 1_000;

/** `/hello`: reports whether the core can read its store. The log has the cause of a failure already. */
export function helloHandler({ store }: UseCases): (c: HttpContext) => Promise<CoreResponse> {
  let isHealthy: Promise<boolean> = Promise.resolve(true);
  let nextCheckAt = 0;

  async function checkStore(): Promise<boolean> {
    const healthy = await store.readState().then(
      () => true,
      () => false,
    );
    nextCheckAt = performance.now() + VALID_FOR;
    return healthy;
  }

  return async () => {
    if (performance.now() >= nextCheckAt) {
      nextCheckAt = Infinity; // no second check while this one runs
      isHealthy = checkStore();
    }
    return (await isHealthy) ? textResponse(200, "Hello") : textResponse(500, "Internal Error");
  };
}
