// Adds this service's own token to the requests that it sends.
import { isLoopbackHost } from "../protocol/loopback.ts";
import { scopesOf } from "../protocol/claims.ts";
import { CountersignError } from "../protocol/errors.ts";
import { decodeJwt } from "../protocol/jwt.ts";
import { resolvePurpose, type TokenPurpose } from "./token-purpose.ts";
import type { ServiceTokenCache } from "./token-cache.ts";
import { checkNames, checkOption } from "../config/option-checks.ts";

/** Options of `createServiceFetch`. */
export interface ServiceFetchOptions extends TokenPurpose {
  /** Send the token over plain HTTP to other hosts as well. Default false: such a call rejects with `invalid_argument`. */
  allowHttp?: boolean | undefined;
}

/** Options of `getServiceToken`. */
export interface ServiceTokenOptions extends TokenPurpose {
  /**
   * A token that the called service rejected, to get a new one. Requests at most one every 5 s; until then, returns the
   * same token.
   */
  insteadOf?: string | undefined;
}

/** Calls another service as `fetch` does, with a token of this service. */
export interface ServiceFetch {
  (input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * Resolves when a token is cached, so that the first call does not wait for one.
   *
   * @throws CountersignError `core_unreachable` or `core_refused` after two minutes of retries, or immediately if a retry
   *   cannot help; or the reason of `signal` if it aborts first
   */
  ready(options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /** Stops renewing the token in the background. Later calls still get tokens. */
  close(): void;
}

const FETCH_NAMES = new Set(["audience", "scope", "allowHttp"]);
const TOKEN_NAMES = new Set(["audience", "scope", "insteadOf"]);

/** @throws CountersignError `invalid_option` */
export function buildServiceFetch(options: ServiceFetchOptions, tokens: ServiceTokenCache): ServiceFetch {
  checkFetchOptions(options);
  const { allowHttp = false } = options;
  const purpose = resolvePurpose(options, "invalid_option");
  const token = tokens.of(purpose);
  const release = token.hold();

  const call: Call = async (input, init) => {
    const request = input instanceof Request ? input : undefined;
    const headers = init?.headers ?? request?.headers;
    if (hasAuthorization(headers)) return fetch(input, init);
    const url = input instanceof Request ? input.url : String(input);
    if (!url.startsWith("https://")) checkTarget(new URL(url), allowHttp); // the prefix is faster than parsing
    const send = (bearer: string) => fetch(input, { ...init, headers: withBearer(headers, bearer) });
    const signal = init?.signal ?? request?.signal;
    const first = token.current() ?? (await untilAborted(token.get(), signal));
    const response = await send(first);
    // A new token contains a scope that the policy granted since then, but only if it asks for all scopes.
    const lacksNewScope = (bearer: string) => purpose.scope === undefined && lacksScope(bearer, response);
    if (response.status !== 401 && !lacksNewScope(first)) return response;
    if (!canSendAgain(init?.body, request) || wasRedirectedFrom(url, response)) return response;
    const second = await untilAborted(token.replace(first), signal);
    if (second === undefined || second === first || lacksNewScope(second)) return response;
    await response.body?.cancel(); // frees the connection
    return send(second);
  };
  const ready: ServiceFetch["ready"] = async ({ signal } = {}) => void (await untilAborted(token.get(), signal));
  return withMethods(call, { ready, close: release });
}

/** @throws CountersignError `invalid_argument`, `core_unreachable`, `core_refused` */
export async function serviceTokenOf(options: ServiceTokenOptions, tokens: ServiceTokenCache): Promise<string> {
  checkTokenOptions(options);
  const { insteadOf } = options;
  const token = tokens.of(resolvePurpose(options, "invalid_argument"));
  const other = insteadOf === undefined ? undefined : await token.replace(insteadOf);
  return other ?? token.get();
}

type Call = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

export function withMethods(call: Call, methods: Pick<ServiceFetch, "ready" | "close">): ServiceFetch {
  return Object.freeze(Object.assign(call, methods));
}

/** @throws CountersignError `invalid_option` */
export function checkFetchOptions(options: ServiceFetchOptions): void {
  checkNames(options, FETCH_NAMES);
  checkOption(typeof (options.allowHttp ?? false) === "boolean", "allowHttp", "true or false");
  resolvePurpose(options, "invalid_option");
}

/** Rejects a misspelled option, which would silently result in a token without an audience or scope. */
function checkTokenOptions(options: ServiceTokenOptions): void {
  try {
    checkNames(options, TOKEN_NAMES);
    checkOption(["string", "undefined"].includes(typeof options.insteadOf), "insteadOf", "a token");
  } catch (error) {
    throw new CountersignError("invalid_argument", (error as Error).message);
  }
}

type HeadersGiven = RequestInit["headers"];

/** Reports whether the headers are a plain object, as in most calls. Converting it would cost more than all other work. */
function isRecord(headers: HeadersGiven): headers is Record<string, string> {
  return headers !== undefined && Object.getPrototypeOf(headers) === Object.prototype;
}

function hasAuthorization(headers: HeadersGiven): boolean {
  if (headers === undefined) return false;
  if (!isRecord(headers)) return new Headers(headers).has("authorization");
  return Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
}

function withBearer(headers: HeadersGiven, bearer: string): NonNullable<HeadersGiven> {
  const authorization = `Bearer ${bearer}`;
  if (headers === undefined || isRecord(headers)) return { ...headers, authorization };
  const own = new Headers(headers);
  own.set("authorization", authorization);
  return own;
}

/** Over plain HTTP, an on-path attacker could use the token until it expires. */
function checkTarget(url: URL, allowHttp: boolean): void {
  if (url.protocol === "https:" || (url.protocol === "http:" && (allowHttp || isLoopbackHost(url.hostname)))) return;
  throw new CountersignError(
    "invalid_argument",
    `refusing to send the service token over plain HTTP to ${url.protocol}//${url.host}; use https or set allowHttp: true`,
  );
}

/** Reports whether the body can be read twice. A stream is consumed by the first request. */
function canSendAgain(body: RequestInit["body"], request: Request | undefined): boolean {
  // As in fetch, `null` in `init` leaves a Request its own body.
  if (body === undefined || body === null) return (request?.body ?? null) === null;
  if (typeof body === "string" || ArrayBuffer.isView(body)) return true;
  return [ArrayBuffer, URLSearchParams, Blob, FormData].some((kind) => body instanceof kind);
}

/** Reports whether the called service requires a scope that the token lacks (RFC 6750 section 3.1). */
function lacksScope(token: string, { status, headers }: Response): boolean {
  const challenge = status === 403 ? (headers.get("www-authenticate") ?? "") : "";
  const required = /\berror="?insufficient_scope\b/.test(challenge)
    ? /\bscope="([^"]+)"/.exec(challenge)?.[1]
    : undefined;
  if (required === undefined) return false;
  const decoded = decodeJwt(token);
  const scopes = decoded.ok ? scopesOf(decoded.jwt.claims) : [];
  return required.split(" ").some((scope) => !scopes.includes(scope));
}

/** Reports whether a redirect led to another origin, which did not receive our token. */
function wasRedirectedFrom(requested: string, { redirected, url }: Response): boolean {
  return redirected && new URL(url).origin !== new URL(requested).origin;
}

/** Stops waiting when the signal aborts. The promise itself continues, because other calls share it. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
