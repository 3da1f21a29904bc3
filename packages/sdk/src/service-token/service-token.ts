import type { Clock } from "../runtime/clock.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { SERVICE_TOKEN_LIFETIME } from "../protocol/api.ts";
import { CountersignError } from "../protocol/errors.ts";
import { lifetimeOf } from "../recipe/jwt-recipe.ts";
import { isRetryable, delaysAfter } from "./backoff.ts";

/** Milliseconds. The longer timeout after a failure keeps our place in the queue of an overloaded core. */
const TIMEOUT = { first: 5_000, afterFailure: 20_000 };
/** The share of its lifetime after which a token is renewed: random, so that services that start together spread. */
const renewalShare = () => 0.6 + 0.13 * Math.random();
/** Milliseconds for which calls without a token wait for a core that is down or overloaded. */
const MAX_WAIT = 120_000;
/** Milliseconds for which a rejected call waits for a new token, because its caller has a timeout as well. */
const REPLACE_WITHIN = 2_000;
/** Milliseconds between two replacements: if a new token did not help, more do not. */
const REPLACE_COOLDOWN = 5_000;

/**
 * One token of a service: cached until it expires, renewed before that, by one request at a time. Its lifetime counts from
 * the request, on the monotonic clock, so a wrong wall clock has no effect.
 */
export class ServiceToken {
  readonly #request: (timeout: number) => Promise<string>;
  readonly #label: string;
  readonly #clock: Clock;
  #cached: { readonly token: string; readonly expiresAt: number } | undefined;
  #failure: { readonly error: unknown; readonly count: number; readonly since: number } | undefined;
  /** When the next request is due: before the cached token expires, or after a delay that follows a failure. */
  #dueAt = 0;
  /** When a call can trigger the next request after a failure, which can be earlier. */
  #callableAt = 0;
  /** The request in flight. */
  #pending: Promise<string> | undefined;
  #requestedAt = 0;
  /** The promise of all calls that wait for a token. */
  #waiting: Promise<string> | undefined;
  /** Ends the pause of `#wait`. */
  #wake: (() => void) | undefined;
  #replacedAt = -Infinity;
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param request requests a token from the core, with a timeout in milliseconds @param label of the token in warnings */
  constructor(request: (timeout: number) => Promise<string>, label: string, clock: Clock) {
    this.#request = request;
    this.#label = label;
    this.#clock = clock;
  }

  /** Returns the cached token, or undefined if none is valid. Starts to renew it when that is due. */
  current(): string | undefined {
    const now = this.#clock.monotonic();
    if (this.#cached === undefined || now >= this.#cached.expiresAt) return undefined;
    if (now >= this.#dueAt) this.#renew();
    return this.#cached.token;
  }

  /** Returns the token, and waits for one if necessary. @throws CountersignError `core_unreachable`, `core_refused` */
  async get(): Promise<string> {
    return this.current() ?? (this.#waiting ??= this.#wait().finally(() => (this.#waiting = undefined)));
  }

  /**
   * Returns a token to use instead of one that the called service rejected. Undefined: a new one cannot help, or did not
   * arrive in time.
   */
  async replace(rejected: string): Promise<string | undefined> {
    if (this.#cached?.token !== rejected) return this.current(); // already renewed
    const now = this.#clock.monotonic();
    if (this.#pending === undefined) {
      if (now < this.#replacedAt + REPLACE_COOLDOWN || this.#isBackingOff(now)) return undefined;
      this.#replacedAt = now;
    }
    const renewed = this.#requestShared().catch(() => undefined);
    return withTimeout(renewed, this.#requestedAt + REPLACE_WITHIN - now, undefined); // a late token is still cached
  }

  /** Renews the token in the background, also without calls. @returns a function that stops it */
  hold(): () => void {
    this.#holders++;
    this.#schedule();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      if (--this.#holders === 0) clearTimeout(this.#timer);
    };
  }

  /** True if deleting it loses nothing. */
  get isIdle(): boolean {
    const isOver =
      this.#cached === undefined ? this.#failure !== undefined : this.#clock.monotonic() >= this.#cached.expiresAt;
    return isOver && !this.isInUse;
  }

  /** True if it is held, requested or waited for. */
  get isInUse(): boolean {
    return this.#holders > 0 || this.#pending !== undefined || this.#waiting !== undefined;
  }

  /** Stops renewing. Waiting calls reject with the last error. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#wake?.();
  }

  /** Requests a token until there is one. Throws the last error if a retry cannot help, or after an outage of `MAX_WAIT`. */
  async #wait(): Promise<string> {
    for (;;) {
      const now = this.#clock.monotonic();
      if (this.#isBackingOff(now)) {
        const { error, since } = this.#failure!;
        if (this.#closed || !isRetryable(error) || this.#callableAt > since + MAX_WAIT) throw error;
        await this.#pause(this.#callableAt - now);
      } else {
        const token = await this.#requestShared().catch(() => undefined); // the next round handles the failure
        if (token !== undefined) return token;
      }
    }
  }

  #isBackingOff(now: number): boolean {
    return this.#failure !== undefined && now < this.#callableAt;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms); // keeps the process alive, because a call waits
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #renew(): void {
    this.#requestShared().catch(() => {}); // already reported as a warning
  }

  /** Joins the request in flight, or starts one. */
  #requestShared(): Promise<string> {
    this.#pending ??= this.#requestOnce().finally(() => {
      this.#pending = undefined;
      this.#schedule();
    });
    return this.#pending;
  }

  async #requestOnce(): Promise<string> {
    const now = (this.#requestedAt = this.#clock.monotonic());
    try {
      const token = await this.#request(this.#failure === undefined ? TIMEOUT.first : TIMEOUT.afterFailure);
      this.#store(token, now);
      return token;
    } catch (error) {
      this.#recordFailure(error, now);
      throw error;
    }
  }

  #store(token: string, requestedAt: number): void {
    const lifetime = usableLifetimeOf(token) * 1000;
    this.#cached = { token, expiresAt: requestedAt + lifetime };
    this.#dueAt = requestedAt + lifetime * renewalShare();
    this.#failure = undefined;
  }

  #recordFailure(error: unknown, requestedAt: number): void {
    const now = this.#clock.monotonic();
    const { count, since } = this.#failure ?? { count: 0, since: now };
    this.#failure = { error, count: count + 1, since };
    const left = (this.#cached?.expiresAt ?? 0) - now;
    const { calling, unattended } = delaysAfter(error, count, now - requestedAt, left > 0);
    this.#callableAt = now + calling;
    this.#dueAt = now + unattended;
    // Without a token, calls reject with an error that a retry cannot fix. Only a warning reports the others.
    if (count === 0 && (left > 0 || isRetryable(error))) this.#warn(error, Math.round(left / 1000));
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#holders === 0 || (this.#cached === undefined && this.#failure === undefined)) return;
    this.#timer = setTimeout(() => this.#renew(), Math.max(0, this.#dueAt - this.#clock.monotonic()));
    this.#timer.unref();
  }

  /** Warns once per outage. @param secondsLeft until the cached token expires */
  #warn(error: unknown, secondsLeft: number): void {
    const [problem, code] =
      secondsLeft > 0
        ? [`cannot be renewed and expires in ${secondsLeft} s`, "COUNTERSIGN_TOKEN_NOT_RENEWED"]
        : ["cannot be fetched, will retry", "COUNTERSIGN_TOKEN_NOT_HAD"];
    const cause = error instanceof Error ? error.message : String(error);
    process.emitWarning(`service token${this.#label} ${problem}: ${cause}`, { code });
  }
}

/** Returns the seconds for which the token is used. @throws CountersignError `core_refused` if that is none */
function usableLifetimeOf(token: string): number {
  const lifetime = lifetimeOf(token) ?? 0;
  if (lifetime > 0) return Math.min(lifetime, SERVICE_TOKEN_LIFETIME); // the core must not control our timers
  throw new CountersignError("core_refused", "invalid response from the core: not a usable token", { status: 200 });
}
