// The functions for a service's own token, on the default instance.
import type { Countersign } from "./countersign.ts";
import { defaultInstance } from "./default-instance.ts";
import { CountersignError } from "../protocol/errors.ts";
import {
  checkFetchOptions,
  withMethods,
  type ServiceFetch,
  type ServiceFetchOptions,
  type ServiceTokenOptions,
} from "../service-token/service-fetch.ts";

/**
 * Creates a fetch function that adds this service's token. Tokens are cached per audience and scope, renewed in the
 * background after two thirds of their lifetime, and used until they expire if the core is down. Without a token, calls
 * wait up to two minutes for the core and emit a warning.
 *
 * If the called service responds with 401, or with 403 for a scope that the policy has granted since then, the function
 * gets a new token and retries once. It does not retry a stream or a Request with a body, which it cannot send twice, and
 * a 403 if `scope` is set. A request with an Authorization header is sent unchanged, without our token and a retry. The
 * token is never sent over plain HTTP to another host (see `allowHttp`), and not to the target of a redirect to another
 * origin.
 *
 * With a service credential (`cs_...`) as `apiKey`, the core sets `sub` and applies the policy. With an API key, the token
 * has the requested audience and scope, and `appName` as `sub` if that is a valid service name.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * const callInventory = createServiceFetch({ audience: "inventory", scope: "stock:reserve" });
 * await callInventory.ready();
 * const response = await callInventory("https://inventory.internal/stock/anvil");
 */
export function createServiceFetch(options: ServiceFetchOptions = {}): ServiceFetch {
  checkFetchOptions(options); // throws here, not on the first call
  let instance: Countersign | undefined;
  let serviceFetch: ServiceFetch | undefined;
  // Looks up the instance on each call, because modules run before `init`, and the test kit replaces the instance.
  const onInstance = () => {
    const current = initialised();
    if (serviceFetch !== undefined && instance === current) return serviceFetch;
    serviceFetch?.close();
    instance = current;
    return (serviceFetch = current.createServiceFetch(options));
  };
  return withMethods(async (input, init) => onInstance()(input, init), {
    ready: async (waiting) => onInstance().ready(waiting),
    close: () => serviceFetch?.close(),
  });
}

/**
 * Returns this service's own token, for clients other than `fetch`. The token is shared with `createServiceFetch`, cached
 * and renewed. Call this before each request instead of storing the token.
 *
 * @throws CountersignError `not_initialised`, `invalid_argument`, `core_unreachable`, `core_refused`
 * @example
 * const metadata = { authorization: `Bearer ${await getServiceToken({ audience: "inventory" })}` };
 */
export async function getServiceToken(options?: ServiceTokenOptions): Promise<string> {
  return initialised().getServiceToken(options);
}

function initialised(): Countersign {
  const instance = defaultInstance();
  if (instance !== undefined) return instance;
  throw new CountersignError("not_initialised", "no service token before init; call init first");
}
