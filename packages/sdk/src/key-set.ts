import { maxAgeOf, type BoundedResponse } from "./bounded-fetch.ts";
import type { Clock } from "./clock.ts";
import type { OnVerifierEvent } from "./events.ts";
import { parseKeySet, type KeySetDocument } from "./protocol/jwk.ts";
import { importKey, type ImportedKey } from "./signature.ts";

/** Where a key set's document comes from. */
export interface KeySetSource {
  /** For events: the URL, or what else names it. */
  readonly name: string;
  /**
   * Places of the document, best first. Some cores have only the last: 401 or 404 means "not here", as does a page
   * that is no key set.
   * Asked anew at each refresh until one of them has answered.
   */
  places(): Promise<readonly string[]>;
  get(place: string): Promise<BoundedResponse>;
}

type ReadableKeySet = Extract<KeySetDocument, { ok: true }>;

export type KeyLookup = ImportedKey | "unknown" | "unavailable";

const DEFAULT_MAX_AGE = 60_000;
const MIN_REFRESH = 1_000;
const MAX_REFRESH = 3_600_000;
/** A set that cannot be refreshed goes on verifying: its keys are as good as when they were fetched. */
const MAX_STALE = 72 * 3_600_000;
/** Strangers can send any kid; that must not become traffic to the core. */
const UNKNOWN_KID_COOLDOWN = 30_000;
const RETRY_FIRST = 1_000;
const RETRY_MOST = 30_000;

/**
 * The public keys of one issuer: fetched once, refreshed ahead in the background, replaced whole so
 * that a removed key is gone, and kept while the source is down.
 */
export class KeySet {
  readonly #source: KeySetSource;
  readonly #clock: Clock;
  readonly #emit: OnVerifierEvent;
  #keys: ReadonlyMap<string, ImportedKey> | undefined;
  #fetchedAt = 0;
  #dueAt = 0;
  #failures = 0;
  #unknownKidAt = -Infinity;
  #place: string | undefined;
  #refreshing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(source: KeySetSource, clock: Clock, emit: OnVerifierEvent) {
    this.#source = source;
    this.#clock = clock;
    this.#emit = emit;
  }

  async find(kid: string): Promise<KeyLookup> {
    const known = this.#usable()?.get(kid);
    if (known !== undefined) {
      // The timer does this too, but timers stand still where a process is frozen between requests.
      if (this.#isDue()) void this.#refresh();
      return known;
    }
    if (this.#usable() === undefined) {
      if (this.#isDue()) await this.#refresh();
    } else if (this.#clock.monotonic() - this.#unknownKidAt >= UNKNOWN_KID_COOLDOWN) {
      this.#unknownKidAt = this.#clock.monotonic();
      await this.#refresh();
    } else if (this.#refreshing !== undefined) {
      await this.#refreshing;
    }
    const keys = this.#usable();
    return keys === undefined ? "unavailable" : (keys.get(kid) ?? "unknown");
  }

  /** Stops refreshing in the background. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #usable(): ReadonlyMap<string, ImportedKey> | undefined {
    return this.#clock.monotonic() - this.#fetchedAt <= MAX_STALE ? this.#keys : undefined;
  }

  #isDue(): boolean {
    return this.#clock.monotonic() >= this.#dueAt;
  }

  /** Single flight; never rejects. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#fetch().finally(() => {
      this.#refreshing = undefined;
      this.#scheduleNext();
    });
    return this.#refreshing;
  }

  async #fetch(): Promise<void> {
    try {
      const { document, maxAge } = await this.#getDocument();
      const skipped = [...document.skipped];
      const keys = new Map<string, ImportedKey>();
      for (const key of document.keys) {
        try {
          keys.set(key.kid, importKey(key));
        } catch {
          skipped.push({ kid: key.kid, problem: "the numbers are no key" });
        }
      }
      this.#keys = keys;
      this.#fetchedAt = this.#clock.monotonic();
      this.#failures = 0;
      this.#dueAt = this.#fetchedAt + refreshDelay(maxAge);
      this.#emit({ type: "keys_refreshed", source: this.#source.name, keys: keys.size, skipped });
    } catch (error) {
      const now = this.#clock.monotonic();
      this.#failures++;
      this.#dueAt = now + retryDelay(this.#failures);
      this.#emit({
        type: "keys_refresh_failed",
        source: this.#source.name,
        problem: problemOf(error),
        ageSeconds: this.#keys && Math.round((now - this.#fetchedAt) / 1000),
      });
    }
  }

  /** From the best place that has a key set; once found, that place is asked alone. */
  async #getDocument(): Promise<{ document: ReadableKeySet; maxAge: number | undefined }> {
    const places = this.#place === undefined ? await this.#source.places() : [this.#place];
    this.#place = undefined;
    let problem = "no place to look for the key set";
    for (const place of places) {
      const response = await this.#source.get(place);
      const document = parseKeySet(response.text);
      const isHere = document.ok && (document.keys.length > 0 || place === places.at(-1));
      if (response.status === 200 && isHere) {
        this.#place = place;
        return { document, maxAge: maxAgeOf(response.headers) };
      }
      problem = `the key set was answered with status ${response.status}`;
      // A server in trouble says nothing about where the set is; one that answers something else says it is not here.
      if (response.status >= 500 || response.status === 429) break;
      if (!document.ok && response.status === 200) problem = `not a key set: ${document.problem}`;
    }
    throw new Error(problem);
  }

  #scheduleNext(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#refresh(), Math.max(0, this.#dueAt - this.#clock.monotonic()));
    this.#timer.unref();
  }
}

/** Ahead of the end of the document's age, and not at the same moment as everybody else. */
function refreshDelay(maxAgeSeconds: number | undefined): number {
  const maxAge = maxAgeSeconds === undefined ? DEFAULT_MAX_AGE : maxAgeSeconds * 1000;
  return Math.min(MAX_REFRESH, Math.max(MIN_REFRESH, maxAge * (0.75 + 0.2 * Math.random())));
}

function retryDelay(failures: number): number {
  const delay = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** Math.min(failures - 1, 10));
  return delay * (0.75 + 0.25 * Math.random());
}

function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return error.message + cause;
}
