// A service's own token on the requests that it makes.
import { isLoopbackHost } from "../protocol/loopback.ts";
import { scopesOf } from "../protocol/claims.ts";
import { CountersignError } from "../protocol/errors.ts";
import { decodeJwt } from "../protocol/jwt.ts";
import { resolvePurpose, type TokenPurpose } from "./service-token.ts";
import type { ServiceTokenCache } from "./token-cache.ts";
import { checkNames, checkOption } from "../config/option-checks.ts";

/** Options of `createServiceFetch`. */
export interface ServiceFetchOptions extends TokenPurpose {
  /** Sends the token over plain http to other machines, too. Default false: such a request is rejected. */
  allowHttp?: boolean | undefined;
}

/** Options of `getServiceToken`. */
export interface ServiceTokenOptions extends TokenPurpose {
  /** A token that was refused: another one is wanted. At most one in 5 s is had for it; in between it is the same again. */
  insteadOf?: string | undefined;
}

/** Calls as `fetch` does, with a token of this service. */
export interface ServiceFetch {
  (input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * Resolves when there is a token, so that the first call need not wait for it.
   *
   * @throws CountersignError `core_unreachable` or `core_refused` after two minutes of tries, or at once where no other
   *   try would go better; or the signal's reason, where that ends the waiting before
   */
  ready(options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /** Ends renewing ahead. Calls go on having tokens as they need them. */
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
    // Most are known at a glance; what is written differently is parsed.
    if (!url.startsWith("https://")) checkTarget(new URL(url), allowHttp);
    const send = (bearer: string) => fetch(input, { ...init, headers: withBearer(headers, bearer) });
    const signal = init?.signal ?? request?.signal;
    const first = token.current() ?? (await untilAborted(token.get(), signal));
    const response = await send(first);
    // What the policy has granted since is in a fresh token, but only in one that is for all that it grants.
    const isOutgrown = (bearer: string) => purpose.scope === undefined && lacksScope(bearer, response);
    if (response.status !== 401 && !isOutgrown(first)) return response;
    if (!canSendAgain(init?.body, request) || isElsewhere(response, url)) return response;
    const second = await untilAborted(token.replace(first), signal);
    if (second === undefined || second === first || isOutgrown(second)) return response;
    await response.body?.cancel(); // its connection is free for others
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

/** A token without the audience that was meant would be asked for, and used, in all silence. */
function checkTokenOptions(options: ServiceTokenOptions): void {
  try {
    checkNames(options, TOKEN_NAMES);
    checkOption(["string", "undefined"].includes(typeof options.insteadOf), "insteadOf", "a token");
  } catch (error) {
    throw new CountersignError("invalid_argument", (error as Error).message);
  }
}

type HeadersGiven = RequestInit["headers"];

/** Headers as most callers write them: making another kind of object of them would cost more than all the rest. */
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

/** Whoever sits in between could call in our name until the token ends. */
function checkTarget(url: URL, allowHttp: boolean): void {
  if (url.protocol === "https:" || (url.protocol === "http:" && (allowHttp || isLoopbackHost(url.hostname)))) return;
  throw new CountersignError(
    "invalid_argument",
    `The service's token is not sent to ${url.protocol}//${url.host}: expected https; plain http is for this machine only, or with allowHttp: true`,
  );
}

/** What can be read a second time; anything else may be gone after the first. */
function canSendAgain(body: RequestInit["body"], request: Request | undefined): boolean {
  // `null` as fetch has it: no body of its own, and a Request keeps its.
  if (body === undefined || body === null) return (request?.body ?? null) === null;
  if (typeof body === "string" || ArrayBuffer.isView(body)) return true;
  return [ArrayBuffer, URLSearchParams, Blob, FormData].some((kind) => body instanceof kind);
}

/** Whether a callee asks for a scope that the token does not have (RFC 6750 section 3.1). */
function lacksScope(token: string, { status, headers }: Response): boolean {
  const challenge = status === 403 ? (headers.get("www-authenticate") ?? "") : "";
  const asked = /\berror="?insufficient_scope\b/.test(challenge) ? /\bscope="([^"]+)"/.exec(challenge)?.[1] : undefined;
  if (asked === undefined) return false; // it is no scope that is missing
  const decoded = decodeJwt(token);
  const has = decoded.ok ? scopesOf(decoded.jwt.claims) : [];
  return asked.split(" ").some((scope) => !has.includes(scope));
}

/** Whether a redirect led to where our token did not go. */
function isElsewhere({ redirected, url }: Response, asked: string): boolean {
  return redirected && new URL(url).origin !== new URL(asked).origin;
}

/** What is waited for goes on for others. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
