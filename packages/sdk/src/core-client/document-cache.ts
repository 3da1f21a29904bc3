import { maxAgeOf, staleIfErrorOf, type BoundedResponse } from "../runtime/bounded-fetch.ts";
import { withTimeout } from "../runtime/timeout.ts";
import type { Clock } from "../runtime/clock.ts";

/** How long an answer is fresh where it has no `max-age`. Seconds. */
const FRESH = 60;
/** After a failure the core is left alone for so long. Milliseconds. */
const RETRY_AFTER = 2_000;
/** How long an answer waits for a core that does not respond, while there is an older answer to give. Milliseconds. */
const PATIENCE = 1_000;

interface Kept {
  response: BoundedResponse | undefined;
  /** When `response` was had, and when the last try failed, by the monotonic clock. */
  at: number;
  failure: { retell: () => BoundedResponse; at: number } | undefined;
  asking: Promise<BoundedResponse> | undefined;
}

/**
 * The core's public documents, for whoever asks the service for them: strangers' requests must not become as many
 * requests to the core, and must not wait for a core that is away.
 */
export class DocumentCache {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The document at `path`: as it was for its max-age, then asked for anew, once however many wait for it. Where that
   * fails or takes long, the old one for as long as it allows itself (`stale-if-error`): an old key set does no harm, an
   * old list of revocations does.
   *
   * @param ask gets it from the core; throws where the core has no answer
   * @returns the document, or that there is none; any other answer of the core only where there is no old document
   * @throws what `ask` threw, where there is no old one
   */
  async get(path: string, ask: () => Promise<BoundedResponse>): Promise<BoundedResponse> {
    const kept = this.#entry(path);
    const age = (this.#clock.monotonic() - kept.at) / 1000;
    const { response } = kept;
    const fresh = (response && maxAgeOf(response.headers)) ?? FRESH;
    if (response !== undefined && age < fresh) return response;
    const stale = (response && staleIfErrorOf(response.headers)) ?? 0;
    const old = age < fresh + stale ? response : undefined;
    if (kept.failure !== undefined && this.#clock.monotonic() - kept.failure.at < RETRY_AFTER) {
      return old ?? kept.failure.retell();
    }
    kept.asking ??= this.#ask(kept, ask).finally(() => (kept.asking = undefined));
    if (old === undefined) return kept.asking;
    const answered = kept.asking.then(
      (answer) => (isDocument(answer) ? answer : old),
      () => old,
    );
    return withTimeout(answered, PATIENCE, old);
  }

  async #ask(kept: Kept, ask: () => Promise<BoundedResponse>): Promise<BoundedResponse> {
    const failed = (retell: () => BoundedResponse) => {
      kept.failure = { retell, at: this.#clock.monotonic() };
    };
    try {
      const response = await ask();
      if (isDocument(response)) Object.assign(kept, { response, at: this.#clock.monotonic(), failure: undefined });
      else failed(() => response);
      return response;
    } catch (error) {
      failed(() => {
        throw error;
      });
      throw error;
    }
  }

  #entry(path: string): Kept {
    let kept = this.#kept.get(path);
    if (kept === undefined) {
      kept = { response: undefined, at: -Infinity, failure: undefined, asking: undefined };
      this.#kept.set(path, kept);
    }
    return kept;
  }
}

/** That something is not there is an answer too, and kept as long; a redirect or a refusal on the way is none. */
function isDocument(response: BoundedResponse): boolean {
  return response.status === 200 || isNotThere(response);
}

/** How a core says that it has no such document, or none for us. */
export function isNotThere({ status }: BoundedResponse): boolean {
  return status === 401 || status === 404;
}
