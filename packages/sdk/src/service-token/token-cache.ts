import type { Clock } from "../runtime/clock.ts";
import { CountersignError } from "../protocol/errors.ts";
import { ServiceToken } from "./service-token.ts";
import type { ResolvedPurpose } from "./token-purpose.ts";

type RequestToken = (purpose: ResolvedPurpose, timeout: number) => Promise<string>;

/** The number of tokens above which those that are not in use are deleted. */
const MAX_TOKENS = 500;

/** The tokens of an instance, one per purpose. */
export class ServiceTokenCache {
  readonly #request: RequestToken;
  readonly #clock: Clock;
  /** The least recently used token first. */
  readonly #tokens = new Map<string, ServiceToken>();
  /** The core's 401, until it responds with another status than 429. */
  #wrongKey: CountersignError | undefined;

  constructor(request: RequestToken, clock: Clock) {
    this.#request = request;
    this.#clock = clock;
  }

  of(purpose: ResolvedPurpose): ServiceToken {
    const { audience, scope } = purpose;
    const key = JSON.stringify([audience, scope]);
    const token = this.#tokens.get(key) ?? this.#create(purpose);
    this.#tokens.delete(key);
    this.#tokens.set(key, token);
    return token;
  }

  close(): void {
    for (const token of this.#tokens.values()) token.close();
  }

  #create(purpose: ResolvedPurpose): ServiceToken {
    for (const [key, token] of this.#tokens) {
      if (token.isIdle || (this.#tokens.size >= MAX_TOKENS && !token.isInUse)) this.#tokens.delete(key);
    }
    const label = purpose.audience === undefined ? "" : ` for ${purpose.audience}`;
    return new ServiceToken((timeout) => this.#requestToken(purpose, timeout), label, this.#clock);
  }

  /**
   * Requests a token. The core responds with 429 to an address that sent a wrong key too often. A retry does not correct
   * the key, so this throws the earlier 401 instead.
   */
  async #requestToken(purpose: ResolvedPurpose, timeout: number): Promise<string> {
    try {
      const token = await this.#request(purpose, timeout);
      this.#wrongKey = undefined;
      return token;
    } catch (error) {
      const status = error instanceof CountersignError ? error.status : undefined;
      if (status === 401) this.#wrongKey = error as CountersignError;
      else if (status === 429 && this.#wrongKey !== undefined) throw this.#wrongKey;
      else if (status !== undefined) this.#wrongKey = undefined;
      throw error;
    }
  }
}
