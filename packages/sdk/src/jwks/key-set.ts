import { maxAgeOf } from "../runtime/bounded-fetch.ts";
import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent, VerifierEvent } from "../telemetry/events.ts";
import { ifNoneMatch, PolledDocument, type DocumentHealth, type Loaded, type Source } from "./polled-document.ts";
import { parseKeySet, type SkippedJwk, type VerificationKey } from "../protocol/jwk.ts";
import { importKey, type ImportedKey } from "../crypto/signature.ts";

/** The content of one key set document. */
interface KeyTable {
  readonly keys: ReadonlyMap<string, ImportedKey>;
  readonly skipped: readonly SkippedJwk[];
  readonly place: string;
  readonly etag: string | null;
}

export type KeyLookup = ImportedKey | "unknown" | "unavailable";

export interface KeySetHealth extends DocumentHealth {
  readonly keys: number;
  /** Whether it can verify tokens: it was fetched, and not longer ago than `maxStale`. */
  readonly usable: boolean;
  /** Seconds by which the server's clock is ahead of ours, from its Date header; undefined if it sends none. */
  readonly clockOffsetSeconds: number | undefined;
}

/** The max-age of a key set without one, in seconds. */
const DEFAULT_MAX_AGE = 60;
/** Milliseconds. */
const MIN_REFRESH = 1_000;
const MAX_REFRESH = 3_600_000;
/** Anyone can send a random kid, so limit how often an unknown one triggers a fetch. Milliseconds. */
const UNKNOWN_KID_COOLDOWN = 30_000;

/**
 * The public keys of one issuer: fetched once, refreshed in the background before they expire, replaced atomically so that
 * a removed key is gone, and kept while the source is down.
 */
export class KeySet extends PolledDocument<KeyTable> {
  #unknownKidAt = -Infinity;
  /** Seconds by which the server's clock is ahead of ours, from its Date header; undefined if it sends none. */
  clockOffset: number | undefined;

  /** @param source its places are tried in order: 401, 404, or a page that is not a key set means "not here" */
  constructor(source: Source, clock: Clock, emit: OnVerifierEvent) {
    super(source, "keys", clock, emit);
  }

  /**
   * Returns the key without waiting; undefined can also mean that it is not fetched yet.
   *
   * @param maxStale milliseconds for which a key set that cannot be refreshed still verifies
   * @param now milliseconds of the monotonic clock
   */
  peek(kid: string, maxStale: number, now: number): ImportedKey | undefined {
    const known = this.#usable(maxStale, now)?.get(kid);
    // In addition to the timer, which stops while a process is frozen between requests.
    if (known !== undefined && this.isDue(now)) void this.refresh();
    return known;
  }

  /** Returns the key, or a promise if a fetch might find it. */
  find(kid: string, maxStale: number, now = this.clock.monotonic()): KeyLookup | Promise<KeyLookup> {
    const known = this.isOverdue(now) ? undefined : this.peek(kid, maxStale, now);
    return known ?? this.#fetchAndFind(kid, maxStale, now);
  }

  async #fetchAndFind(kid: string, maxStale: number, now: number): Promise<KeyLookup> {
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

  /** Starts the first fetch, or retries it when due, so that a process that only reports its health becomes healthy. */
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

  /** Fetches from the first place that has a key set, and from then on only from that place. */
  protected override async load(): Promise<Loaded<KeyTable>> {
    const known = this.value;
    // After a failure, look again: the key set might have moved.
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
      problem = `the key set responded with status ${response.status}`;
      // 5xx and 429 say nothing about the place of the key set. Every other response means that it is not here.
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

/** An unchanged key remains the same object: cached tokens compare it to know that their key is still in the set. */
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
      skipped.push({ kid: key.kid, problem: "not a valid key" });
    }
  }
  return imported;
}

/** Returns the milliseconds until the next refresh: before the max-age ends, with jitter. */
function refreshDelay(maxAgeSeconds: number | undefined): number {
  const maxAge = (maxAgeSeconds ?? DEFAULT_MAX_AGE) * 1000;
  return Math.min(MAX_REFRESH, Math.max(MIN_REFRESH, maxAge * (0.75 + 0.2 * Math.random())));
}
