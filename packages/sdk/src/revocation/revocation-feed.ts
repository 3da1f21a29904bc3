import type { Clock } from "../runtime/clock.ts";
import type { OnVerifierEvent, VerifierEvent } from "../telemetry/events.ts";
import type { KeySet } from "../jwks/key-set.ts";
import { ifNoneMatch, PolledDocument, type DocumentHealth, type Loaded, type Source } from "../jwks/polled-document.ts";
import { decodeJwt, REVOCATION_FEED } from "../protocol/jwt.ts";
import { isEarlier, readRevocations, type Revocations } from "../protocol/revocations.ts";
import { verifySignature } from "../crypto/signature.ts";

export interface FeedHealth extends DocumentHealth {
  /** False if the issuer has no feed, as other core implementations. */
  readonly exists: boolean;
}

interface FeedTable {
  /** Undefined if there is no feed. */
  readonly revocations: Revocations | undefined;
  readonly etag: string | null;
}

const NONE: FeedTable = { revocations: undefined, etag: null };

/** Poll every 24 to 36 s (in milliseconds), so that a revocation arrives within 75 s even through caches. */
const MIN_POLL = 24_000;
const POLL_JITTER = 12_000;

/**
 * The revocations of one issuer: polled in the background, signed with a key of its key set, and never older than the
 * previous ones. A feed that cannot be fetched or verified changes nothing.
 */
export class RevocationFeed extends PolledDocument<FeedTable> {
  readonly #keySet: KeySet;

  constructor(source: Source, keySet: KeySet, clock: Clock, emit: OnVerifierEvent) {
    super(source, "revocations", clock, emit);
    this.#keySet = keySet;
  }

  /** Returns the known revocations; the same object until they change. @param now milliseconds of the monotonic clock */
  current(now: number): Revocations | undefined {
    // In addition to the timer, which stops while a process is frozen between requests.
    if (this.tried && this.isDue(now)) void this.refresh();
    return this.value?.revocations;
  }

  /**
   * Returns the fetch that every request must wait for: the first one, so that a new process rejects tokens that were
   * revoked before its start, and the first one after a process was frozen. Undefined if there is none to wait for.
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
    const nextIn = MIN_POLL + POLL_JITTER * Math.random();
    if (place === undefined) return { value: NONE, nextIn };
    const response = await this.source.get(place, ifNoneMatch(etag));
    if (response.status === 304 && known !== undefined && etag !== null) return { value: known, nextIn };
    if ([401, 403, 404].includes(response.status) && known?.revocations === undefined) {
      return { value: NONE, nextIn };
    }
    if (response.status !== 200) throw new Error(`the revocation feed responded with status ${response.status}`);
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
    // Otherwise the thief of a key could withdraw its revocation.
    if (revocations.kids.has(header.kid) || known?.kids.has(header.kid) === true) {
      throw refused("signed with a revoked key");
    }
    if (known !== undefined && isEarlier(revocations, known)) {
      const order = ({ generation, epoch }: Revocations) => `${generation}.${epoch}`;
      throw refused(`rolled back from ${order(known)} to ${order(revocations)}`);
    }
    return revocations;
  }
}

function refused(problem: string): Error {
  return new Error(`revocation feed rejected: ${problem}`);
}
