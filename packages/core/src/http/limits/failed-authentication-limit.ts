import type { Log } from "../../ports/log.ts";
import type { Monotonic } from "../../ports/clock.ts";

export interface FailedAuthenticationLimit {
  /**
   * Counts a failure to authenticate. Only failures come here: whoever authenticates is never kept waiting, also behind
   * an address that others guess from, such as a proxy's.
   *
   * An address that has to wait is told of in the log, once in its window.
   *
   * @param address undefined: no other machine's
   * @returns seconds until this address may fail again; 0: this was one of those that it may
   */
  waitAfterFailure(address: string | undefined): number;
}

/** Failures of one address in one window. */
const MOST = 10;
/** Milliseconds. */
const WINDOW = 60_000;
/** Addresses that are remembered. Beyond, the one that failed first is forgotten: it begins a new window. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  count: number;
  readonly until: number;
}

export function createFailedAuthenticationLimit(
  monotonic: Monotonic,
  log: Pick<Log, "warn">,
): FailedAuthenticationLimit {
  /** In the order in which their windows began. */
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
      if (own.count === MOST + 1)
        log.warn({ address, seconds: wait }, "wrong keys again and again: this address waits");
      return wait;
    },
  });
}

/** What one guesser is likely to have: an IPv4 address, or the half of an IPv6 address that is not the host's to choose. */
function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, "");
  if (!plain.includes(":")) return plain;
  const [head = "", tail] = plain.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [first, last] = [groups(head), groups(tail ?? "")];
  const zeros = Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0");
  return [...first, ...zeros, ...last].slice(0, 4).join(":");
}
