import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent, VerifierEvent } from "../telemetry/events.ts";
import type { KeySet } from "../jwks/key-set.ts";
import { ifNoneMatch, PolledDocument, type DocumentHealth, type Loaded, type Source } from "../jwks/polled-document.ts";
import { decodeJwt, REVOCATION_FEED } from "../protocol/jwt.ts";
import { isEarlier, readRevocations, type Revocations } from "../protocol/revocations.ts";
import { verifySignature } from "../crypto/signature.ts";

export interface FeedHealth extends DocumentHealth {
  /** False: its issuer has none, as other makes of core. */
  readonly exists: boolean;
}

interface FeedTable {
  /** Undefined: there is no feed. */
  readonly revocations: Revocations | undefined;
  readonly etag: string | null;
}

const NONE: FeedTable = { revocations: undefined, etag: null };

/** Milliseconds. 36 s at most, so that a revocation is here within 75 s of its command, whatever caches lie in between. */
const MIN_POLL = 24_000;
const MORE_POLL = 12_000;

/**
 * The revocations of one issuer: polled in the background, signed by a key of its set, never older than what was
 * known before. What cannot be had or verified changes nothing.
 */
export class RevocationFeed extends PolledDocument<FeedTable> {
  readonly #keySet: KeySet;

  constructor(source: Source, keySet: KeySet, clock: Clock, emit: OnVerifierEvent) {
    super(source, "revocations", clock, emit);
    this.#keySet = keySet;
  }

  /** What is known to be revoked at `now`, by the monotonic clock; the same object until something changes. */
  current(now: number): Revocations | undefined {
    // The timer does this too, but timers stand still where a process is frozen between requests.
    if (this.tried && this.isDue(now)) void this.refresh();
    return this.value?.revocations;
  }

  /**
   * News that everybody waits for: the first try, so that what was revoked before this process began is refused from its
   * first request on, and the first after it was frozen. Undefined where there is none to wait for.
   */
  news(now: number): Promise<void> | undefined {
    return this.tried && !this.isOverdue(now) ? undefined : this.refresh();
  }

  health(): FeedHealth {
    return { ...this.state(), exists: this.value?.revocations !== undefined };
  }

  protected override describe({ revocations }: FeedTable): VerifierEvent | undefined {
    if (revocations === undefined) return undefined;
    const { tokens, services, kids, generation, epoch } = revocations;
    const counts = { tokens: tokens.size, services: services.size, kids: kids.size };
    return { type: "revocations_refreshed", source: this.source.name, generation, epoch, ...counts };
  }

  protected override async load(): Promise<Loaded<FeedTable>> {
    const known = this.value;
    const etag = known?.etag ?? null;
    const [place] = await this.source.places();
    const nextIn = MIN_POLL + MORE_POLL * Math.random();
    if (place === undefined) return { value: NONE, nextIn };
    const response = await this.source.get(place, ifNoneMatch(etag));
    if (response.status === 304 && known !== undefined && etag !== null) return { value: known, nextIn };
    if ([401, 403, 404].includes(response.status) && known?.revocations === undefined) {
      return { value: NONE, nextIn };
    }
    if (response.status !== 200) throw new Error(`the revocations were answered with status ${response.status}`);
    const revocations = await this.#read(response.text.trim(), known?.revocations);
    return { value: { revocations, etag: response.headers.get("etag") }, nextIn };
  }

  async #read(text: string, known: Revocations | undefined): Promise<Revocations> {
    const decoded = decodeJwt(text, REVOCATION_FEED);
    if (!decoded.ok) throw refused(decoded.reason);
    const { header, algorithm, claims, signingInput, signature } = decoded.jwt;
    const key = await this.#keySet.find(header.kid, Infinity);
    if (typeof key === "string") throw refused(`key ${header.kid} is ${key}`);
    if (key.algorithm !== algorithm || !verifySignature(key, signingInput, signature)) {
      throw refused("signature_invalid");
    }
    const revocations = readRevocations(claims);
    if (revocations === undefined) throw refused("claims_malformed");
    // Else whoever stole a key could take its revocation back.
    if (revocations.kids.has(header.kid) || known?.kids.has(header.kid) === true) {
      throw refused("signed by a key that is revoked");
    }
    if (known !== undefined && isEarlier(revocations, known)) {
      const order = ({ generation, epoch }: Revocations) => `${generation}.${epoch}`;
      throw refused(`it went back from ${order(known)} to ${order(revocations)}`);
    }
    return revocations;
  }
}

function refused(problem: string): Error {
  return new Error(`the revocation feed is refused: ${problem}`);
}
