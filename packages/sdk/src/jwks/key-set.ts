import { maxAgeOf } from "../runtime/bounded-fetch.ts";
import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent, VerifierEvent } from "../telemetry/events.ts";
import { ifNoneMatch, PolledDocument, type DocumentHealth, type Loaded, type Source } from "./polled-document.ts";
import { parseKeySet, type SkippedJwk, type VerificationKey } from "../protocol/jwk.ts";
import { importKey, type ImportedKey } from "../crypto/signature.ts";

/** What was read from one document. */
interface KeyTable {
  readonly keys: ReadonlyMap<string, ImportedKey>;
  readonly skipped: readonly SkippedJwk[];
  readonly place: string;
  readonly etag: string | null;
}

export type KeyLookup = ImportedKey | "unknown" | "unavailable";

export interface KeySetHealth extends DocumentHealth {
  readonly keys: number;
  /** Whether tokens can be verified with it: it has been had, and not too long ago. */
  readonly usable: boolean;
  /** Seconds that its server's clock is ahead of ours, by the Date it sends; undefined where it sends none. */
  readonly clockOffsetSeconds: number | undefined;
}

/** Seconds. */
const DEFAULT_MAX_AGE = 60;
const MIN_REFRESH = 1_000;
const MAX_REFRESH = 3_600_000;
/** Strangers can send any kid; that must not become traffic to the core. */
const UNKNOWN_KID_COOLDOWN = 30_000;

/**
 * The public keys of one issuer: fetched once, refreshed ahead in the background, replaced whole so
 * that a removed key is gone, and kept while the source is down.
 */
export class KeySet extends PolledDocument<KeyTable> {
  #unknownKidAt = -Infinity;
  /** Seconds that its server's clock is ahead of ours, by the Date it sends; undefined where it sends none. */
  clockOffset: number | undefined;

  /** @param source of its places 401 or 404 means "not here", as does a page that is no key set; asked for until one has answered */
  constructor(source: Source, clock: Clock, emit: OnVerifierEvent) {
    super(source, "keys", clock, emit);
  }

  /**
   * The key at `now`, without waiting: undefined may mean that it is only not known yet.
   *
   * @param maxStale milliseconds that a set which cannot be refreshed goes on verifying: its keys are as good as when
   * they were fetched
   * @param now by the monotonic clock
   */
  peek(kid: string, maxStale: number, now: number): ImportedKey | undefined {
    const known = this.#usable(maxStale, now)?.get(kid);
    // The timer does this too, but timers stand still where a process is frozen between requests.
    if (known !== undefined && this.isDue(now)) void this.refresh();
    return known;
  }

  /** The same, or a promise where a fetch may help. */
  find(kid: string, maxStale: number, now = this.clock.monotonic()): KeyLookup | Promise<KeyLookup> {
    const known = this.isOverdue(now) ? undefined : this.peek(kid, maxStale, now);
    return known ?? this.#findAnew(kid, maxStale, now);
  }

  async #findAnew(kid: string, maxStale: number, now: number): Promise<KeyLookup> {
    const isKnown = this.#usable(maxStale, now) !== undefined;
    if (this.isOverdue(now) || (isKnown ? now - this.#unknownKidAt >= UNKNOWN_KID_COOLDOWN : this.isDue(now))) {
      if (isKnown) this.#unknownKidAt = now;
      await this.refresh();
    } else {
      await this.refreshing;
    }
    const keys = this.#usable(maxStale, this.clock.monotonic());
    return keys === undefined ? "unavailable" : (keys.get(kid) ?? "unknown");
  }

  /** Begins the first fetch, or tries again where that is due, so that whoever is asked for its health gets well. */
  warm(): void {
    const now = this.clock.monotonic();
    if (this.value === undefined && this.isDue(now)) void this.refresh();
  }

  health(maxStale: number): KeySetHealth {
    return {
      ...this.state(),
      keys: this.value?.keys.size ?? 0,
      usable: this.#usable(maxStale, this.clock.monotonic()) !== undefined,
      clockOffsetSeconds: this.clockOffset,
    };
  }

  #usable(maxStale: number, now: number): ReadonlyMap<string, ImportedKey> | undefined {
    return now - this.loadedAt <= maxStale ? this.value?.keys : undefined;
  }

  protected override describe({ keys, skipped }: KeyTable): VerifierEvent {
    return { type: "keys_refreshed", source: this.source.name, keys: keys.size, skipped };
  }

  /** From the best place that has a key set; once found, that place is asked alone. */
  protected override async load(): Promise<Loaded<KeyTable>> {
    const known = this.value;
    // After a failure it may have moved.
    const places = known === undefined || this.failures > 0 ? await this.source.places() : [known.place];
    let problem = "no key set";
    for (const place of places) {
      const etag = known?.place === place ? known.etag : null;
      const response = await this.source.get(place, { ...ifNoneMatch(etag), accept: "application/json" });
      this.#noteClock(response.headers);
      const nextIn = refreshDelay(maxAgeOf(response.headers));
      if (response.status === 304 && etag !== null) return { value: known!, nextIn };
      const document = parseKeySet(response.text);
      const isHere = document.ok && (document.keys.length > 0 || place === places.at(-1));
      if (response.status === 200 && isHere) {
        const { skipped } = document;
        const keys = importAll(document.keys, known?.keys, skipped);
        return { value: { keys, skipped, place, etag: response.headers.get("etag") }, nextIn };
      }
      problem = `the key set was answered with status ${response.status}`;
      // A server in trouble says nothing about where the set is; one that answers something else says it is not here.
      if (response.status >= 500 || response.status === 429) break;
      if (!document.ok && response.status === 200) problem = `not a key set: ${document.problem}`;
    }
    throw new Error(problem);
  }

  #noteClock(headers: Headers): void {
    const date = Date.parse(headers.get("date") ?? "");
    this.clockOffset = Number.isNaN(date) ? undefined : Math.round((date - this.clock.now()) / 1000);
  }
}

/** A key that has not changed stays the same object, which is how a verified token knows that its key still stands. */
function importAll(
  keys: readonly VerificationKey[],
  known: ReadonlyMap<string, ImportedKey> | undefined,
  skipped: SkippedJwk[],
): ReadonlyMap<string, ImportedKey> {
  const imported = new Map<string, ImportedKey>();
  for (const key of keys) {
    const same = known?.get(key.kid);
    try {
      imported.set(key.kid, JSON.stringify(same?.jwk) === JSON.stringify(key.jwk) ? same! : importKey(key));
    } catch {
      skipped.push({ kid: key.kid, problem: "the numbers are no key" });
    }
  }
  return imported;
}

/** Ahead of the end of the document's age, and not at the same moment as everybody else. */
function refreshDelay(maxAgeSeconds: number | undefined): number {
  const maxAge = (maxAgeSeconds ?? DEFAULT_MAX_AGE) * 1000;
  return Math.min(MAX_REFRESH, Math.max(MIN_REFRESH, maxAge * (0.75 + 0.2 * Math.random())));
}
