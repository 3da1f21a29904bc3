import type { NormalisedAppInfo } from "../config/app-info.ts";
import type { Clock } from "../runtime/clock.ts";
import type { CoreClient } from "../core-client/core-client.ts";
import { isServiceName, PATHS, SERVICE_TOKEN_LIFETIME, type CreateJwtRequest } from "../protocol/api.ts";
import { isScope } from "../protocol/claims.ts";
import { CountersignError } from "../protocol/errors.ts";
import { lifetimeOf, tokenIn } from "../recipe/jwt-recipe.ts";
import { isRetryable, delaysAfter } from "./backoff.ts";

/** What a service's own token is for. */
export interface TokenPurpose {
  /** The service that will be called: becomes `aud`. Default: none, or with a policy the only service that may be called. */
  audience?: string | undefined;
  /** What it is to be allowed to do: a list, or text separated by blanks. Default: none, or with a policy all that it grants. */
  scope?: string | readonly string[] | undefined;
}

/** The same, checked; the scope as RFC 6749 section 3.3 writes it. */
export interface ResolvedPurpose {
  readonly audience: string | undefined;
  readonly scope: string | undefined;
}

/** @throws CountersignError with that code */
export function resolvePurpose(
  { audience, scope }: TokenPurpose,
  code: "invalid_option" | "invalid_argument",
): ResolvedPurpose {
  if (audience !== undefined && (typeof audience !== "string" || audience === "")) {
    throw new CountersignError(code, "audience: expected the name of a service");
  }
  const scopes: unknown = typeof scope === "string" ? scope.split(" ") : scope;
  if (scopes !== undefined && !(Array.isArray(scopes) && scopes.length > 0 && scopes.every(isScope))) {
    throw new CountersignError(code, "scope: expected one or several scopes");
  }
  return { audience, scope: scopes?.join(" ") };
}

/** Asks the core for a token. @param timeout milliseconds @throws CountersignError `core_unreachable`, `core_refused` */
export async function requestServiceToken(
  { audience, scope }: ResolvedPurpose,
  { appName, apiDomain }: NormalisedAppInfo,
  core: CoreClient,
  timeout: number,
): Promise<string> {
  const sub = isServiceName(appName) ? appName : undefined;
  if (sub === undefined && !core.isService) warnOfNoName(appName);
  const request: CreateJwtRequest = {
    // Of a service's credential the core knows whose it is, and what it may be for; an API key may say anything.
    ...(core.isService
      ? { payload: { source: "microservice" }, audience, scope }
      : { payload: { source: "microservice", sub, aud: audience, scope } }),
    algorithm: "RS256",
    jwksDomain: apiDomain,
    validity: SERVICE_TOKEN_LIFETIME, // of an API key's token, too
    useStaticSigningKey: false, // it ends long before a key that is replaced on a schedule does
  };
  return tokenIn(await core.call("POST", PATHS.jwt, request, {}, timeout));
}

let warnedOfNoName = false;

/** Once per process: what the name is, is written in one place. */
function warnOfNoName(appName: string): void {
  if (warnedOfNoName) return;
  warnedOfNoName = true;
  process.emitWarning(
    `appName ${JSON.stringify(appName)} is no name of a service (a-z, 0-9 and -, such as orders), so this service's ` +
      "tokens have no sub, and a callee that names who may call (allow) refuses them",
    { code: "COUNTERSIGN_NO_SUB" },
  );
}

/** Milliseconds that an answer is waited for, at first and after a failure: a queue gets shorter if those in it stay. */
const TIMEOUT = { first: 5_000, later: 20_000 };
/** Of its life, when it is renewed: about two thirds, and not when everybody does who started at the same time. */
const renewalShare = () => 0.6 + 0.13 * Math.random();
/** Milliseconds for which a core that does not answer, or is asked too much, is waited for by who has no token. */
const PATIENCE = 120_000;
/** Milliseconds that a callee's answer is held back for a fresh token: its caller has a patience of its own. */
const REPLACE_WITHIN = 2_000;
/** Milliseconds between two tokens that a callee's refusal is answered with: where none is good enough, more are not. */
const REPLACE_AGAIN = 5_000;

/**
 * One token of a service, kept as long as it lives, had anew ahead of its end, by one request at a time. How long it
 * lives is measured here from when it was asked for: a machine's wrong clock changes nothing.
 */
export class ServiceToken {
  readonly #request: (timeout: number) => Promise<string>;
  readonly #name: string;
  readonly #clock: Clock;
  #kept: { readonly token: string; readonly endsAt: number } | undefined;
  /** When the core is asked next: ahead of the end, or some time after a failure. */
  #dueAt = 0;
  /** After a failure: from when on it is asked for somebody who calls, which may be earlier. */
  #callableAt = 0;
  #failure: { readonly error: unknown; readonly count: number; readonly since: number } | undefined;
  #asking: Promise<string> | undefined;
  #askedAt = 0;
  #waiting: Promise<string> | undefined;
  #replacedAt = -Infinity;
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Ends the pause of who waits. */
  #wake: (() => void) | undefined;
  #closed = false;

  /** @param request asks the core for one @param name for warnings */
  constructor(request: (timeout: number) => Promise<string>, name: string, clock: Clock) {
    this.#request = request;
    this.#name = name;
    this.#clock = clock;
  }

  /** The token, at once, while it lives; begins to renew it when that is due. */
  current(): string | undefined {
    const now = this.#clock.monotonic();
    if (this.#kept === undefined || now >= this.#kept.endsAt) return undefined;
    if (now >= this.#dueAt) this.#renew();
    return this.#kept.token;
  }

  /** The token, waiting for it where there is none. @throws CountersignError `core_unreachable`, `core_refused` */
  async get(): Promise<string> {
    return this.current() ?? (this.#waiting ??= this.#wait().finally(() => (this.#waiting = undefined)));
  }

  /** A token in place of one that a callee refused; undefined: there is none that would fare better, or not in time. */
  async replace(refused: string): Promise<string | undefined> {
    if (this.#kept?.token !== refused) return this.current(); // it was renewed meanwhile
    const now = this.#clock.monotonic();
    if (this.#asking === undefined) {
      if (now < this.#replacedAt + REPLACE_AGAIN || (this.#failure !== undefined && now < this.#callableAt))
        return undefined;
      this.#replacedAt = now;
    }
    const asked = this.#ask().catch(() => undefined);
    return within(this.#askedAt + REPLACE_WITHIN - now, asked); // in the background it goes on
  }

  /** From here on it is renewed even if nobody asks for it. @returns how to end that, once */
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

  /** Whether nothing would be lost if it were forgotten. */
  get isIdle(): boolean {
    const isOver =
      this.#kept === undefined ? this.#failure !== undefined : this.#clock.monotonic() >= this.#kept.endsAt;
    return isOver && !this.isInUse;
  }

  /** Whether somebody holds it or waits for it. */
  get isInUse(): boolean {
    return this.#holders > 0 || this.#asking !== undefined || this.#waiting !== undefined;
  }

  /** Whoever waits for it is told why it could not be had. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#wake?.();
  }

  /**
   * Tries until there is one: what hinders a core isRetryable, and a thousand others may be asking as well. Where it has gone
   * on for too long, nobody is kept waiting any more.
   */
  async #wait(): Promise<string> {
    for (;;) {
      const now = this.#clock.monotonic();
      if (this.#failure !== undefined && now < this.#callableAt) {
        const { error, since } = this.#failure;
        if (this.#closed || !isRetryable(error) || this.#callableAt > since + PATIENCE) throw error;
        await this.#pause(this.#callableAt - now);
        continue;
      }
      try {
        return await this.#ask();
      } catch {
        // looked at above
      }
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms); // it keeps the process alive: somebody waits
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #renew(): void {
    this.#ask().catch(() => {}); // told of where it failed
  }

  #ask(): Promise<string> {
    this.#asking ??= this.#askOnce().finally(() => {
      this.#asking = undefined;
      this.#schedule();
    });
    return this.#asking;
  }

  async #askOnce(): Promise<string> {
    const began = (this.#askedAt = this.#clock.monotonic());
    try {
      const token = await this.#request(this.#failure === undefined ? TIMEOUT.first : TIMEOUT.later);
      const life = lifeOf(token) * 1000;
      this.#kept = { token, endsAt: began + life };
      this.#dueAt = began + life * renewalShare();
      this.#failure = undefined;
      return token;
    } catch (error) {
      const now = this.#clock.monotonic();
      const { count: before, since } = this.#failure ?? { count: 0, since: now };
      this.#failure = { error, count: before + 1, since };
      const left = (this.#kept?.endsAt ?? 0) - now;
      const { calling, unattended } = delaysAfter(error, before, now - began, left > 0);
      this.#callableAt = now + calling;
      this.#dueAt = now + unattended;
      // Who calls is told of what does not pass; of what does, nobody is for as long as it is waited for.
      if (before === 0 && (left > 0 || isRetryable(error))) this.#warn(error, Math.round(left / 1000));
      throw error;
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#holders === 0 || (this.#kept === undefined && this.#failure === undefined)) return;
    this.#timer = setTimeout(() => this.#renew(), Math.max(0, this.#dueAt - this.#clock.monotonic()));
    this.#timer.unref();
  }

  /** Once for each time that the core goes away. @param seconds that are left of the token */
  #warn(error: unknown, seconds: number): void {
    const [problem, code] =
      seconds > 0
        ? [`could not be renewed, and ends in ${seconds} s`, "COUNTERSIGN_TOKEN_NOT_RENEWED"]
        : ["could not be had, and is asked for again", "COUNTERSIGN_TOKEN_NOT_HAD"];
    const words = error instanceof Error ? error.message : String(error);
    process.emitWarning(`The service's token${this.#name} ${problem}: ${words}`, { code });
  }
}

/** @returns undefined where it takes longer than so many milliseconds */
function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Seconds. @throws CountersignError `core_refused` where no verifier would take it */
function lifeOf(token: string): number {
  const life = lifetimeOf(token) ?? 0;
  if (life > 0) return Math.min(life, SERVICE_TOKEN_LIFETIME); // no timer is set from what somebody else says
  throw new CountersignError("core_refused", "The core's answer holds no token that can be used", { status: 200 });
}
