import type { BoundedResponse } from "../runtime/bounded-fetch.ts";
import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent, VerifierEvent } from "../telemetry/events.ts";

/** The source of a document. */
export interface Source {
  /** For events: the URL or another name. */
  readonly name: string;
  /** The possible places of the document, best first. */
  places(): Promise<readonly string[]>;
  get(place: string, headers: Readonly<Record<string, string>>): Promise<BoundedResponse>;
}

export interface Loaded<T> {
  readonly value: T;
  /** Milliseconds until the next fetch. */
  readonly nextIn: number;
}

/** The state of a document, for a health check. */
export interface DocumentHealth {
  /** Seconds since the last successful fetch; undefined: never. */
  readonly ageSeconds: number | undefined;
  /** Why the last fetch failed; undefined if it succeeded. */
  readonly lastError: string | undefined;
  /** Seconds until the next fetch. */
  readonly nextRefreshSeconds: number;
}

/** Milliseconds after which a due fetch is overdue: the timeout of a fetch. */
const OVERDUE = 5_000;

/** Delays after a failure, in milliseconds. The longest is shorter while there is no document yet. */
const FIRST_RETRY = 1_000;
const MAX_RETRY = 40_000;
const MAX_RETRY_WITHOUT = 30_000;

/**
 * A document of a server, polled in the background: one fetch at a time for all callers, and the last valid document stays
 * while the server is unavailable.
 */
export abstract class PolledDocument<T> {
  readonly source: Source;
  protected readonly clock: Clock;
  readonly #kind: "keys" | "revocations";
  readonly #emit: OnVerifierEvent;
  #value: T | undefined;
  /** The time of the last successful fetch on the monotonic clock, if there is a value. */
  protected loadedAt = 0;
  #dueAt = 0;
  /** Failures since the last successful fetch. */
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

  /** Fetches the document. @throws the reason for a failure */
  protected abstract load(): Promise<Loaded<T>>;

  /** Returns the event for a fetched document; undefined for none. */
  protected abstract describe(value: T): VerifierEvent | undefined;

  get value(): T | undefined {
    return this.#value;
  }

  /** The fetch in progress. */
  get refreshing(): Promise<void> | undefined {
    return this.#refreshing;
  }

  /** Whether a first fetch has ended. */
  get tried(): boolean {
    return this.#value !== undefined || this.failures > 0;
  }

  isDue(monotonic: number): boolean {
    return monotonic >= this.#dueAt;
  }

  /**
   * Reports whether the last fetch is far longer ago than planned, as in a process that was frozen. The document is then
   * outdated, and callers should wait for a fetch.
   */
  isOverdue(monotonic: number): boolean {
    return this.#value !== undefined && this.failures === 0 && monotonic >= this.#dueAt + OVERDUE;
  }

  /** Fetches the document, due or not, or joins the fetch in progress. Never rejects. */
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

  /** Stops the polling. */
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

/** Returns an exponential delay with jitter, in milliseconds. */
function retryDelay(failuresBefore: number, hasValue: boolean): number {
  const most = hasValue ? MAX_RETRY : MAX_RETRY_WITHOUT;
  return Math.min(most, FIRST_RETRY * 2 ** failuresBefore) * (0.75 + 0.25 * Math.random());
}

function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return error.message + cause;
}

/** Returns the header of a conditional request (RFC 9110 section 13.1.2). */
export function ifNoneMatch(etag: string | null): Readonly<Record<string, string>> {
  return etag === null ? {} : { "if-none-match": etag };
}
