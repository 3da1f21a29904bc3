import type { Clock } from "../runtime/clock.ts";
import { CountersignError } from "../protocol/errors.ts";
import { ServiceToken, type ResolvedPurpose } from "./service-token.ts";

type RequestToken = (purpose: ResolvedPurpose, timeout: number) => Promise<string>;

/** That are kept although nobody holds them: beyond, the one that was wanted the longest time ago is forgotten. */
const MOST_KEPT = 500;

/** The tokens of an instance, one for each purpose. */
export class ServiceTokenCache {
  readonly #request: RequestToken;
  readonly #clock: Clock;
  /** In the order in which they were last wanted. */
  readonly #tokens = new Map<string, ServiceToken>();
  /** That the core knows the key not, if this was its last word. */
  #unknownKey: CountersignError | undefined;

  constructor(request: RequestToken, clock: Clock) {
    this.#request = request;
    this.#clock = clock;
  }

  of(purpose: ResolvedPurpose): ServiceToken {
    const { audience, scope } = purpose;
    const key = JSON.stringify([audience, scope]);
    const token = this.#tokens.get(key) ?? this.#make(purpose);
    this.#tokens.delete(key);
    this.#tokens.set(key, token);
    return token;
  }

  close(): void {
    for (const token of this.#tokens.values()) token.close();
  }

  #make(purpose: ResolvedPurpose): ServiceToken {
    for (const [key, token] of this.#tokens) {
      if (token.isIdle || (this.#tokens.size >= MOST_KEPT && !token.isInUse)) this.#tokens.delete(key);
    }
    const name = purpose.audience === undefined ? "" : ` for ${purpose.audience}`;
    return new ServiceToken((timeout) => this.#ask(purpose, timeout), name, this.#clock);
  }

  /**
   * A core sends those away who come with a wrong key too often (429), and waiting does not make it a right one: what it
   * said of the key before still holds.
   */
  async #ask(purpose: ResolvedPurpose, timeout: number): Promise<string> {
    try {
      const token = await this.#request(purpose, timeout);
      this.#unknownKey = undefined;
      return token;
    } catch (error) {
      const status = error instanceof CountersignError ? error.status : undefined;
      if (status === 401) this.#unknownKey = error as CountersignError;
      else if (status === 429 && this.#unknownKey !== undefined) throw this.#unknownKey;
      else if (status !== undefined) this.#unknownKey = undefined;
      throw error;
    }
  }
}
