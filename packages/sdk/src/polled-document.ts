import type { Clock } from "./clock.ts";

/** How a document is kept up to date. */
export interface Polling<T> {
  /** Gets it anew. @throws why it could not be had */
  load(): Promise<Loaded<T>>;
  loaded(value: T): void;
  failed(problem: string): void;
  /** Milliseconds until the next try, after so many failures in a row. */
  retryIn(failures: number): number;
}

export interface Loaded<T> {
  readonly value: T;
  /** Milliseconds until it should be had again. */
  readonly nextIn: number;
}

/** The state of a document, for a health check. */
export interface DocumentHealth {
  /** Seconds since it was last had; undefined: never. */
  readonly ageSeconds: number | undefined;
  /** Why the last try failed; undefined where it did not. */
  readonly lastError: string | undefined;
  /** Seconds until the next try. */
  readonly nextRefreshSeconds: number;
}

/**
 * A document of a server, had again and again in the background: one fetch at a time however many want it, the last
 * good one kept while it cannot be had.
 */
export class PolledDocument<T> {
  readonly #polling: Polling<T>;
  readonly #clock: Clock;
  #value: T | undefined;
  #loadedAt = 0;
  #dueAt = 0;
  #failures = 0;
  #problem: string | undefined;
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(polling: Polling<T>, clock: Clock) {
    this.#polling = polling;
    this.#clock = clock;
  }

  get value(): T | undefined {
    return this.#value;
  }

  /** When the value was had, by the monotonic clock; only where there is a value. */
  get loadedAt(): number {
    return this.#loadedAt;
  }

  /** The fetch under way. */
  get refreshing(): Promise<void> | undefined {
    return this.#refreshing;
  }

  /** Whether it has been tried, and that is over. */
  get tried(): boolean {
    return this.#value !== undefined || this.#failures > 0;
  }

  /** Whether the last try failed. */
  get failing(): boolean {
    return this.#failures > 0;
  }

  isDue(monotonic: number): boolean {
    return monotonic >= this.#dueAt;
  }

  /** Never rejects. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = undefined;
      this.#scheduleNext();
    });
    return this.#refreshing;
  }

  health(): DocumentHealth {
    const now = this.#clock.monotonic();
    return {
      ageSeconds: this.#value === undefined ? undefined : Math.round((now - this.#loadedAt) / 1000),
      lastError: this.#problem,
      nextRefreshSeconds: Math.max(0, Math.ceil((this.#dueAt - now) / 1000)),
    };
  }

  /** Stops what happens in the background. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #load(): Promise<void> {
    try {
      const { value, nextIn } = await this.#polling.load();
      this.#value = value;
      this.#loadedAt = this.#clock.monotonic();
      this.#dueAt = this.#loadedAt + nextIn;
      this.#failures = 0;
      this.#problem = undefined;
      this.#polling.loaded(value);
    } catch (error) {
      this.#failures++;
      this.#dueAt = this.#clock.monotonic() + this.#polling.retryIn(this.#failures);
      this.#problem = problemOf(error);
      this.#polling.failed(this.#problem);
    }
  }

  #scheduleNext(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.refresh(), Math.max(0, this.#dueAt - this.#clock.monotonic()));
    this.#timer.unref();
  }
}

function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return error.message + cause;
}
