// A service's own token, on the instance that `init` makes.
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
 * Makes a `fetch` for calls to another service. Its token is kept, shared by all that is for the same audience and
 * scope, and renewed in the background after two thirds of its life; while the core is down, it is used to its end.
 * Without one, calls wait while the core does not answer, for two minutes of an outage at most, and a warning says so.
 *
 * A call that is answered with 401 is made once more with a fresh token, if its body can be sent again: text, bytes,
 * forms and none can; of a stream, or a Request with a body, the 401 is the answer. So is one that is answered with 403
 * for a scope that the policy has granted since, where no \`scope\` is given here. A request that has an Authorization
 * header goes out as it is, without our token and without a second try. The token is never sent over plain http to
 * another machine (`allowHttp`), and does not follow a redirect to another origin.
 *
 * With a service's credential (`cs_...`) as `apiKey`, the core decides whose token it is and whether the policy grants
 * it; with an API key it says what is asked for, and as `sub` the `appName`, where that can be the name of a service.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * const callInventory = createServiceFetch({ audience: "inventory", scope: "stock:reserve" });
 * await callInventory.ready();
 * const answer = await callInventory("https://inventory.internal/stock/anvil");
 */
export function createServiceFetch(options: ServiceFetchOptions = {}): ServiceFetch {
  checkFetchOptions(options); // a mistake is found where it is made, not by the first call
  let instance: Countersign | undefined;
  let made: ServiceFetch | undefined;
  // By each call, because modules make theirs before `init` is called, and the test kit puts another instance in its place.
  const own = () => {
    const current = initialised();
    if (made !== undefined && instance === current) return made;
    made?.close();
    instance = current;
    return (made = current.createServiceFetch(options));
  };
  return withMethods(async (input, init) => own()(input, init), {
    ready: async (waiting) => own().ready(waiting),
    close: () => made?.close(),
  });
}

/**
 * This service's own token, for clients other than `fetch`: kept and renewed as that of `createServiceFetch`, which it
 * shares. Ask for it before each call; do not keep it.
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
  throw new CountersignError("not_initialised", "A service's token comes from the core: call init first");
}
