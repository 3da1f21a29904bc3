import { maxAgeOf, staleIfErrorOf, type BoundedResponse } from "../runtime/bounded-fetch.ts";
import type { Clock } from "../runtime/clock.ts";
import { withTimeout } from "../runtime/timeout.ts";

/** How long a response without `max-age` is fresh, in seconds. */
const DEFAULT_FRESHNESS = 60;
/** After a failure, how long the core gets no request, in milliseconds. */
const RETRY_AFTER = 2_000;
/** How long to wait for a core that does not respond if an older response is available, in milliseconds. */
const STALE_AFTER = 1_000;

interface Entry {
  response: BoundedResponse | undefined;
  /** When `response` was fetched and when the last fetch failed, in milliseconds of the monotonic clock. */
  fetchedAt: number;
  failure: { repeat: () => BoundedResponse; at: number } | undefined;
  fetching: Promise<BoundedResponse> | undefined;
}

/**
 * Caches the core's public documents, which a service serves to unauthenticated clients: their requests must not cause as
 * many requests to the core, and must not wait for a core that is unavailable.
 */
export class DocumentCache {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Returns the document at `path` from the cache until its max-age, then fetches it again, once for all concurrent
   * callers. If that fails or takes long, returns the old document within its own `stale-if-error`: an old key set is
   * harmless, an old revocation feed is not.
   *
   * @param fetchDocument fetches the document from the core; throws if the core has no usable response
   * @returns the document, or the response that it does not exist; any other response only without an old document
   * @throws the error of `fetchDocument`, only without an old document
   */
  async get(path: string, fetchDocument: () => Promise<BoundedResponse>): Promise<BoundedResponse> {
    const entry = this.#entry(path);
    const { response, failure } = entry;
    const now = this.#clock.monotonic();
    const age = (now - entry.fetchedAt) / 1000;
    const freshness = (response && maxAgeOf(response.headers)) ?? DEFAULT_FRESHNESS;
    if (response !== undefined && age < freshness) return response;
    const staleness = (response && staleIfErrorOf(response.headers)) ?? 0;
    const old = age < freshness + staleness ? response : undefined;
    if (failure !== undefined && now - failure.at < RETRY_AFTER) return old ?? failure.repeat();
    entry.fetching ??= this.#fetch(entry, fetchDocument).finally(() => (entry.fetching = undefined));
    if (old === undefined) return entry.fetching;
    const documentOrOld = entry.fetching.then(
      (fetched) => (isDocument(fetched) ? fetched : old),
      () => old,
    );
    return withTimeout(documentOrOld, STALE_AFTER, old);
  }

  async #fetch(entry: Entry, fetchDocument: () => Promise<BoundedResponse>): Promise<BoundedResponse> {
    const fail = (repeat: () => BoundedResponse) => {
      entry.failure = { repeat, at: this.#clock.monotonic() };
    };
    try {
      const response = await fetchDocument();
      if (isDocument(response)) {
        Object.assign(entry, { response, fetchedAt: this.#clock.monotonic(), failure: undefined });
      } else {
        fail(() => response);
      }
      return response;
    } catch (error) {
      fail(() => {
        throw error;
      });
      throw error;
    }
  }

  #entry(path: string): Entry {
    let entry = this.#entries.get(path);
    if (entry === undefined) {
      entry = { response: undefined, fetchedAt: -Infinity, failure: undefined, fetching: undefined };
      this.#entries.set(path, entry);
    }
    return entry;
  }
}

/** A missing document is cached like a document. A redirect or an error is not. */
function isDocument(response: BoundedResponse): boolean {
  return response.status === 200 || isNotThere(response);
}

/** Reports whether a core says that it has no such document, or none for this client. */
export function isNotThere({ status }: BoundedResponse): boolean {
  return status === 401 || status === 404;
}
