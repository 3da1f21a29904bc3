// The only file that talks to a core.
import {
  boundedFetch,
  retryAfterOf,
  type BoundedResponse,
  type Fetch,
  type FetchBounds,
} from "../runtime/bounded-fetch.ts";
import { normaliseHost, type NormalisedAppInfo } from "../config/app-info.ts";
import { systemClock, type Clock } from "../runtime/clock.ts";
import { connectEmbeddedCore, EMBEDDED_ORIGIN } from "./embedded-core.ts";
import { DocumentCache } from "./document-cache.ts";
import { compareVersions, CREDENTIAL_PREFIX, DRIVER_VERSIONS, PATHS } from "../protocol/api.ts";
import { CountersignError } from "../protocol/errors.ts";
import * as LIMITS from "../protocol/limits.ts";
import { isLoopbackHost } from "../protocol/loopback.ts";
import { parseStrictJson, type JsonObject } from "../protocol/strict-json.ts";

/** A request on its way to a core, as a `networkInterceptor` sees it and may change it. */
export interface CoreRequest {
  url: string;
  method: string;
  headers: Record<string, string>;
  params?: Record<string, boolean | number | string | undefined>;
  body?: unknown;
}

export type NetworkInterceptor = (request: CoreRequest, userContext: Record<string, unknown>) => CoreRequest;

/** How to reach the core. */
export interface CoreConfig {
  /**
   * One or several hosts separated by `;`, each with an optional base path, or `file:DIRECTORY` for
   * a core inside this process (needs the package `countersign-core`).
   */
  connectionURI: string;
  /** An API key, or a service's own credential (`cs_...`). */
  apiKey?: string | undefined;
  networkInterceptor?: NetworkInterceptor | undefined;
  /** True: nothing that the core answered is kept; every call asks again. Default false. */
  disableCoreCallCache?: boolean | undefined;
}

export interface CoreClient {
  /** For events. */
  readonly name: string;
  /** Whether its key is a service's own credential, with which the core decides what a token says. */
  readonly isService: boolean;
  /**
   * A call of the driver interface.
   *
   * @param timeout milliseconds for an answer of each host; default 5,000
   * @returns the JSON body of a 200 @throws CountersignError
   */
  call(
    method: "GET" | "POST",
    path: string,
    body: object | undefined,
    userContext: UserContext,
    timeout?: number,
  ): Promise<JsonObject>;
  /** A public document of the core, as it is answered now, whatever the status. @throws CountersignError `core_unreachable` */
  getDocument(
    path: string,
    userContext: UserContext,
    headers?: Readonly<Record<string, string>>,
  ): Promise<BoundedResponse>;
  /**
   * The same, asked for once per max-age, and served for a day more while the core cannot answer.
   *
   * @throws CountersignError `core_unreachable`, or `core_refused` where the core is in trouble
   */
  getCachedDocument(path: string, userContext: UserContext): Promise<BoundedResponse>;
  /** Closes an embedded core; a remote one is none of ours to close. */
  close(): Promise<void>;
}

export type UserContext = Record<string, unknown>;

const BOUNDS = { timeout: 5_000, maxBytes: LIMITS.feedBytes };
/** What existing clients do on 429: retry after 10 ms + 250 ms × attempt, five times; later, if the core asks for a little more. */
const TOO_MANY_RETRIES = 5;
const LONGEST_RETRY = 2_000;
const retryDelay = (attempt: number) => 10 + 250 * attempt;

export function createCoreClient(
  config: CoreConfig,
  appInfo: NormalisedAppInfo,
  clock: Clock = systemClock,
  connection: Connection = connect(config.connectionURI),
): CoreClient {
  const { apiKey, networkInterceptor } = config;
  if (apiKey !== undefined && !(typeof apiKey === "string" && /^[\x21-\x7e]+$/.test(apiKey))) {
    // Said here, without the key: a header that cannot be sent would carry it into an error message.
    throw new CountersignError("invalid_option", "apiKey: visible ASCII characters without blanks were expected");
  }
  const { hosts, send, close } = connection;
  const keyProblem = problemOfKey(apiKey);
  let nextHost = 0;
  let version: Promise<string> | undefined;
  let negotiated: string | undefined;

  /** One exchange with the first host that answers, beginning with the next in turn. */
  async function exchange(
    method: string,
    path: string,
    extra: { params?: Record<string, string>; headers?: Record<string, string>; body?: object | undefined },
    userContext: UserContext,
    timeout = BOUNDS.timeout,
  ): Promise<BoundedResponse> {
    const first = nextHost++ % hosts.length;
    let lastError: unknown;
    for (let i = 0; i < hosts.length; i++) {
      const host = hosts[(first + i) % hosts.length]!;
      const headers: Record<string, string> = { rid: "jwt", ...extra.headers };
      if (apiKey !== undefined) headers["api-key"] = apiKey;
      if (extra.body !== undefined) headers["content-type"] = "application/json; charset=utf-8";
      let request: CoreRequest = { url: host + path, method, headers };
      if (extra.params !== undefined) request.params = extra.params;
      if (extra.body !== undefined) request.body = extra.body;
      if (networkInterceptor !== undefined) request = networkInterceptor(request, userContext);
      const outgoing = writeRequest(request); // what is wrong with it is no host's fault
      try {
        return await sendPatiently(send, outgoing, { ...BOUNDS, timeout });
      } catch (error) {
        if (error instanceof CountersignError) throw error; // no other host would change it
        lastError = error;
      }
    }
    throw new CountersignError(
      "core_unreachable",
      `No host of the core could be reached for ${method} ${path}: ${messageOf(lastError)}`,
      { cause: lastError },
    );
  }

  /** The newest version that both sides speak; asked once, and again only if that failed. */
  function negotiateVersion(timeout?: number): Promise<string> {
    version ??= askVersion(timeout).catch((error: unknown) => {
      version = undefined;
      throw error;
    });
    return version;
  }

  async function askVersion(timeout?: number): Promise<string> {
    const params: Record<string, string> = { apiDomain: appInfo.apiDomain };
    if (appInfo.websiteDomain !== undefined) params["websiteDomain"] = appInfo.websiteDomain;
    const response = await exchange("GET", PATHS.apiVersion, { params }, {}, timeout);
    const answer = readAnswer("GET", PATHS.apiVersion, response, keyProblem);
    const offered = Array.isArray(answer["versions"]) ? (answer["versions"] as unknown[]) : [];
    const common = DRIVER_VERSIONS.filter((one) => offered.includes(one)).sort(compareVersions);
    const newest = common.at(-1);
    if (newest === undefined) {
      throw new CountersignError(
        "core_refused",
        "The core and this SDK have no version of the driver interface in common",
      );
    }
    negotiated = newest;
    return newest;
  }

  const getDocument: CoreClient["getDocument"] = (path, userContext, headers) => {
    const spoken = negotiated === undefined ? {} : { "cdi-version": negotiated };
    return exchange("GET", path, { headers: { ...headers, ...spoken } }, userContext);
  };
  const kept = new DocumentCache(clock);

  return {
    name: hosts[0] === EMBEDDED_ORIGIN ? config.connectionURI : hosts[0]!,
    isService: apiKey?.startsWith(CREDENTIAL_PREFIX) === true,
    async call(method, path, body, userContext, timeout) {
      const headers = { "cdi-version": await negotiateVersion(timeout) };
      const response = await exchange(method, path, { headers, body }, userContext, timeout);
      return readAnswer(method, path, response, keyProblem);
    },
    getDocument,
    getCachedDocument: (path, userContext) => {
      const ask = async () => {
        const response = await getDocument(path, userContext);
        if (response.status >= 500 || response.status === 429) throw refusedByCore("GET", path, response);
        return response;
      };
      return config.disableCoreCallCache === true ? ask() : kept.get(path, ask);
    },
    close,
  };
}

/** A way to a core. */
export interface Connection {
  readonly hosts: readonly string[];
  readonly send: Fetch;
  close(): Promise<void>;
}

function connect(connectionURI: unknown): Connection {
  if (typeof connectionURI !== "string" || connectionURI.trim() === "") {
    throw new CountersignError(
      "invalid_option",
      "connectionURI: a URL such as http://localhost:3567, or file:./directory, was expected",
    );
  }
  if (/^file:/i.test(connectionURI)) return connectEmbeddedCore(connectionURI);
  const hosts = connectionURI
    .split(";")
    .filter((host) => host.trim() !== "")
    .map(normaliseHost);
  if (hosts.length === 0) throw new CountersignError("invalid_option", "connectionURI: at least one host was expected");
  for (const host of hosts) warnOfPlainHttp(host);
  return { hosts, send: fetch, close: async () => {} };
}

const warned = new Set<string>();

/** Clusters run on http, so it is allowed where it follows from the configuration; once per host, people should know. */
export function warnOfPlainHttp(address: string): void {
  const url = new URL(address);
  if (url.protocol !== "http:" || isLoopbackHost(url.hostname) || warned.has(url.host)) return;
  warned.add(url.host);
  process.emitWarning(
    `${url.origin} is reached over plain http: whoever sits in between can replace its keys and read tokens`,
    {
      code: "COUNTERSIGN_PLAIN_HTTP",
    },
  );
}

interface OutgoingRequest {
  readonly url: string;
  readonly init: RequestInit;
}

function writeRequest({ url: address, params = {}, method, headers, body }: CoreRequest): OutgoingRequest {
  try {
    const url = new URL(address);
    for (const [name, value] of Object.entries(params)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const init: RequestInit = { method, headers: new Headers(headers) };
    if (body !== undefined) init.body = JSON.stringify(body);
    return { url: url.href, init };
  } catch {
    // Without its words: they quote the header that cannot be sent.
    throw new CountersignError(
      "invalid_argument",
      `The request ${method} to the core cannot be written: its URL, headers or body are wrong`,
    );
  }
}

async function sendPatiently(
  send: Fetch,
  { url, init }: OutgoingRequest,
  bounds: FetchBounds,
): Promise<BoundedResponse> {
  for (let attempt = 0; ; attempt++) {
    const response = await boundedFetch(send, url, init, bounds);
    const delay = Math.max(retryDelay(attempt), (retryAfterOf(response.headers) ?? 0) * 1000);
    if (response.status !== 429 || attempt === TOO_MANY_RETRIES || delay > LONGEST_RETRY) return response;
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}

/** What a core does not tell strangers, for its own services: what may be wrong where it answers 401. */
function problemOfKey(apiKey: string | undefined): string {
  if (apiKey === undefined) return "no apiKey was given";
  if (!apiKey.startsWith(CREDENTIAL_PREFIX)) return "the apiKey is none of this core's";
  return "the credential is unknown in this app, expired or revoked, or its service is disabled or deleted";
}

function readAnswer(method: string, path: string, response: BoundedResponse, keyProblem: string): JsonObject {
  if (response.status !== 200) throw refusedByCore(method, path, response, keyProblem);
  const parsed = parseStrictJson(response.text, LIMITS.jsonDepth);
  if (!parsed.ok) {
    throw new CountersignError(
      "core_refused",
      `The core answered ${method} ${path} with something that is not a JSON object`,
      {
        status: 200,
      },
    );
  }
  return parsed.value;
}

/** @param keyProblem what is added to a 401 */
export function refusedByCore(
  method: string,
  path: string,
  response: BoundedResponse,
  keyProblem?: string,
): CountersignError {
  const { status, text, headers } = response;
  const why = status === 401 && keyProblem !== undefined ? ` (${keyProblem})` : "";
  const message = `The core answered ${method} ${path} with status ${status}: ${text.trim().slice(0, 300)}${why}`;
  return new CountersignError("core_refused", message, { status, retryAfter: retryAfterOf(headers) });
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}
