import { maxAgeOf, type BoundedResponse } from "./bounded-fetch.ts";
import type { Clock } from "./clock.ts";

/** What the core's own Cache-Control lets anyone do; the first where it names none. Seconds. */
const AGE = { fresh: 60, ifError: 86_400 };
/** After a failure the core is left alone for so long. Milliseconds. */
const RETRY_AFTER = 2_000;
/** How long an answer waits for a core that does not respond, while there is an older answer to give. Milliseconds. */
const PATIENCE = 1_000;

interface Kept {
  response: BoundedResponse | undefined;
  /** When `response` was had, and when the last try failed, by the monotonic clock. */
  at: number;
  failure: { error: unknown; at: number } | undefined;
  asking: Promise<BoundedResponse> | undefined;
}

/**
 * The core's public documents, for whoever asks the service for them: strangers' requests must not become as many
 * requests to the core, and must not wait for a core that is away.
 */
export class KeptDocuments {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The document at `path`: as it was for its max-age, then asked for anew, once however many wait for it; the old one
   * for a day where that fails or takes long.
   *
   * @param ask gets it from the core; throws where the core has no answer
   * @throws what `ask` threw, where there is no old one
   */
  async get(path: string, ask: () => Promise<BoundedResponse>): Promise<BoundedResponse> {
    const kept = this.#entry(path);
    const age = (this.#clock.monotonic() - kept.at) / 1000;
    if (kept.response !== undefined && age < (maxAgeOf(kept.response.headers) ?? AGE.fresh)) return kept.response;
    const old = age < AGE.ifError ? kept.response : undefined;
    if (kept.failure !== undefined && this.#clock.monotonic() - kept.failure.at < RETRY_AFTER) {
      if (old !== undefined) return old;
      throw kept.failure.error;
    }
    kept.asking ??= this.#ask(kept, ask).finally(() => (kept.asking = undefined));
    if (old === undefined) return kept.asking;
    const answered = kept.asking.catch(() => old);
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<BoundedResponse>((resolve) => {
      timer = setTimeout(resolve, PATIENCE, old);
    });
    return Promise.race([answered, tooLong]).finally(() => clearTimeout(timer));
  }

  async #ask(kept: Kept, ask: () => Promise<BoundedResponse>): Promise<BoundedResponse> {
    try {
      const response = await ask();
      // That something is not there is an answer too, and kept as long.
      Object.assign(kept, { response, at: this.#clock.monotonic(), failure: undefined });
      return response;
    } catch (error) {
      kept.failure = { error, at: this.#clock.monotonic() };
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
