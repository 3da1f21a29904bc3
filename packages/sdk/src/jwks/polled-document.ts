import type { BoundedResponse } from "../runtime/bounded-fetch.ts";
import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent, VerifierEvent } from "../telemetry/events.ts";

/** Where a document comes from. */
export interface Source {
  /** For events: the URL, or what else names it. */
  readonly name: string;
  /** Places where it may be, best first. */
  places(): Promise<readonly string[]>;
  get(place: string, headers: Readonly<Record<string, string>>): Promise<BoundedResponse>;
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

/** Milliseconds: what a fetch may take. */
const OVERDUE = 5_000;

/** Milliseconds. The longest pause is shorter where there is nothing to serve with yet. */
const FIRST_RETRY = 1_000;
const MAX_RETRY = 40_000;
const MAX_RETRY_WITHOUT = 30_000;

/**
 * A document of a server, had again and again in the background: one fetch at a time however many want it, the last
 * good one kept while it cannot be had.
 */
export abstract class PolledDocument<T> {
  readonly source: Source;
  protected readonly clock: Clock;
  readonly #kind: "keys" | "revocations";
  readonly #emit: OnVerifierEvent;
  #value: T | undefined;
  /** When the value was had, by the monotonic clock; only where there is a value. */
  protected loadedAt = 0;
  #dueAt = 0;
  /** Since it was had last. */
  protected failures = 0;
  #problem: string | undefined;
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(source: Source, kind: "keys" | "revocations", clock: Clock, emit: OnVerifierEvent) {
    this.source = source;
    this.#kind = kind;
    this.clock = clock;
    this.#emit = emit;
  }

  /** Gets it anew. @throws why it could not be had */
  protected abstract load(): Promise<Loaded<T>>;

  /** What to tell of one that was had. */
  protected abstract describe(value: T): VerifierEvent | undefined;

  get value(): T | undefined {
    return this.#value;
  }

  /** The fetch under way. */
  get refreshing(): Promise<void> | undefined {
    return this.#refreshing;
  }

  /** Whether it has been tried, and that is over. */
  get tried(): boolean {
    return this.#value !== undefined || this.failures > 0;
  }

  isDue(monotonic: number): boolean {
    return monotonic >= this.#dueAt;
  }

  /**
   * Whether nobody has looked for far longer than was meant, as in a process that was frozen: what is known says little
   * about now, and whoever asks should wait for news.
   */
  isOverdue(monotonic: number): boolean {
    return this.#value !== undefined && this.failures === 0 && monotonic >= this.#dueAt + OVERDUE;
  }

  /** Has it anew, due or not, or joins who does already. Never rejects. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#load().finally(() => {
      this.#refreshing = undefined;
      this.#scheduleNext();
    });
    return this.#refreshing;
  }

  protected state(): DocumentHealth {
    const now = this.clock.monotonic();
    return {
      ageSeconds: this.#value === undefined ? undefined : Math.round((now - this.loadedAt) / 1000),
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
      const { value, nextIn } = await this.load();
      this.#value = value;
      this.loadedAt = this.clock.monotonic();
      this.#dueAt = this.loadedAt + nextIn;
      this.failures = 0;
      this.#problem = undefined;
      const event = this.describe(value);
      if (event !== undefined) this.#emit(event);
    } catch (error) {
      this.#dueAt = this.clock.monotonic() + retryDelay(this.failures++, this.#value !== undefined);
      this.#problem = problemOf(error);
      const { ageSeconds } = this.state();
      this.#emit({
        type: `${this.#kind}_refresh_failed`,
        source: this.source.name,
        problem: this.#problem,
        ageSeconds,
      });
    }
  }

  #scheduleNext(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.refresh(), Math.max(0, this.#dueAt - this.clock.monotonic()));
    this.#timer.unref();
  }
}

/** Growing, and not at the same moment as everybody else. Milliseconds. */
function retryDelay(failuresBefore: number, hasValue: boolean): number {
  const most = hasValue ? MAX_RETRY : MAX_RETRY_WITHOUT;
  return Math.min(most, FIRST_RETRY * 2 ** failuresBefore) * (0.75 + 0.25 * Math.random());
}

function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return error.message + cause;
}

/** What an answer is asked for with that may be known already (RFC 9110 section 13.1.2). */
export function ifNoneMatch(etag: string | null): Readonly<Record<string, string>> {
  return etag === null ? {} : { "if-none-match": etag };
}
