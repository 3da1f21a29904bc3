import type { Log } from "../../ports/log.ts";
import type { Monotonic } from "../../ports/clock.ts";

export interface FailedAuthenticationLimit {
  /**
   * Records a failed authentication. Valid credentials are never throttled, even from an address that others guess from,
   * such as a shared proxy. Logs a throttled address once per window.
   *
   * @param address `undefined` if the client is in this process
   * @returns seconds until the limit for this address resets; 0 if the limit is not reached
   */
  waitAfterFailure(address: string | undefined): number;
}

/** Failures per network and window. */
const MOST = 10;
/** Milliseconds. */
const WINDOW = 60_000;
/** Addresses that are counted. Beyond this limit, the one with the oldest window is evicted and starts a new window. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  count: number;
  readonly until: number;
}

export function createFailedAuthenticationLimit(
  monotonic: Monotonic,
  log: Pick<Log, "warn">,
): FailedAuthenticationLimit {
  /** By network, in the order in which their windows began. */
  const failures = new Map<string, Failures>();
  return Object.freeze<FailedAuthenticationLimit>({
    waitAfterFailure(address) {
      if (address === undefined) return 0;
      const now = monotonic();
      const network = networkOf(address);
      let own = failures.get(network);
      if (own === undefined || now >= own.until) {
        failures.delete(network);
        own = { count: 0, until: now + WINDOW };
        failures.set(network, own);
        if (failures.size > MAX_ADDRESSES) failures.delete(failures.keys().next().value!);
      }
      own.count++;
      if (own.count <= MOST) return 0;
      const wait = Math.ceil((own.until - now) / 1000);
      if (own.count === MOST + 1) {
        log.warn({ address, seconds: wait }, "too many failed authentications, throttling address");
      }
      return wait;
    },
  });
}

/** Returns what one attacker is likely to have: an IPv4 address, or the /64 network of an IPv6 address. */
function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!plain.includes(":")) return plain;
  const [head = "", tail] = plain.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const zeros = Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0");
  return [...first, ...zeros, ...last].slice(0, 4).join(":");
}
