// The only file that sends requests to a core.
import {
  boundedFetch,
  retryAfterOf,
  type BoundedResponse,
  type Fetch,
  type FetchBounds,
} from "../runtime/bounded-fetch.ts";
import { normalizeHost, type NormalisedAppInfo } from "../config/app-info.ts";
import { systemClock, type Clock } from "../runtime/clock.ts";
import { connectEmbeddedCore, EMBEDDED_ORIGIN } from "./embedded-core.ts";
import { DocumentCache } from "./document-cache.ts";
import { compareVersions, CREDENTIAL_PREFIX, DRIVER_VERSIONS, PATHS } from "../protocol/api.ts";
import { CountersignError } from "../protocol/errors.ts";
import * as LIMITS from "../protocol/limits.ts";
import { isLoopbackHost } from "../protocol/loopback.ts";
import { parseStrictJson, type JsonObject } from "../protocol/strict-json.ts";

/** A request to a core, which a `networkInterceptor` can change. */
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
   * One or several hosts separated by `;`, each with an optional base path, or `file:DIRECTORY` for a core in this process
   * (requires the package `countersign-core`).
   */
  connectionURI: string;
  /** An API key, or a service credential (`cs_...`). Default: none. */
  apiKey?: string | undefined;
  /** Changes every request before it is sent. */
  networkInterceptor?: NetworkInterceptor | undefined;
  /** True: fetch the core's documents for every call instead of caching them. Default false. */
  disableCoreCallCache?: boolean | undefined;
}

export interface CoreClient {
  /** For events. */
  readonly name: string;
  /** Whether the key is a service credential, so that the core decides the claims of a token. */
  readonly isService: boolean;
  /**
   * Calls the driver interface.
   *
   * @param timeout milliseconds per host; default 5,000
   * @returns the JSON body of a 200 response @throws CountersignError
   */
  call(
    method: "GET" | "POST",
    path: string,
    body: object | undefined,
    userContext: UserContext,
    timeout?: number,
  ): Promise<JsonObject>;
  /** Fetches a public document of the core; the response can have any status. @throws CountersignError `core_unreachable` */
  getDocument(
    path: string,
    userContext: UserContext,
    headers?: Readonly<Record<string, string>>,
  ): Promise<BoundedResponse>;
  /**
   * Returns a public document of the core from a cache, fetched once per max-age. If the core is unavailable, returns the
   * old document within its `stale-if-error`.
   *
   * @throws CountersignError `core_unreachable`, or `core_refused` for 429 and 5xx
   */
  getCachedDocument(path: string, userContext: UserContext): Promise<BoundedResponse>;
  /** Closes an embedded core. A remote core keeps running. */
  close(): Promise<void>;
}

export type UserContext = Record<string, unknown>;

const BOUNDS = { timeout: 5_000, maxBytes: LIMITS.feedBytes };
/** On 429, retries after 10 ms + 250 ms × attempt, at most five times, as existing clients do. */
const MAX_RETRIES = 5;
const retryDelay = (attempt: number) => 10 + 250 * attempt;
/** Milliseconds: the longest `Retry-After` that a call waits for. */
const MAX_RETRY_DELAY = 2_000;

/** @throws CountersignError `invalid_option` */
export function createCoreClient(
  config: CoreConfig,
  appInfo: NormalisedAppInfo,
  clock: Clock = systemClock,
  connection: Connection = connect(config.connectionURI),
): CoreClient {
  checkApiKey(config.apiKey);
  return new HttpCoreClient(config, appInfo, clock, connection);
}

function checkApiKey(apiKey: unknown): void {
  if (apiKey === undefined || (typeof apiKey === "string" && /^[\x21-\x7e]+$/.test(apiKey))) return;
  // Checked here: an invalid header value would appear, key included, in the error of the HTTP client.
  throw new CountersignError("invalid_option", "apiKey: must contain only printable ASCII without spaces");
}

/** The parts of a request that differ from call to call. */
interface CallParts {
  readonly params?: Record<string, string>;
  readonly headers?: Record<string, string>;
  readonly body?: object | undefined;
}

class HttpCoreClient implements CoreClient {
  readonly name: string;
  readonly isService: boolean;
  readonly #config: CoreConfig;
  readonly #appInfo: NormalisedAppInfo;
  readonly #connection: Connection;
  readonly #documents: DocumentCache;
  #nextHost = 0;
  #negotiation: Promise<string> | undefined;
  #version: string | undefined;

  constructor(config: CoreConfig, appInfo: NormalisedAppInfo, clock: Clock, connection: Connection) {
    const firstHost = connection.hosts[0]!;
    this.name = firstHost === EMBEDDED_ORIGIN ? config.connectionURI : firstHost;
    this.isService = config.apiKey?.startsWith(CREDENTIAL_PREFIX) === true;
    this.#config = { ...config }; // checked once, so later changes by the program have no effect
    this.#appInfo = appInfo;
    this.#connection = connection;
    this.#documents = new DocumentCache(clock);
  }

  async call(
    method: "GET" | "POST",
    path: string,
    body: object | undefined,
    userContext: UserContext,
    timeout?: number,
  ): Promise<JsonObject> {
    const headers = { "cdi-version": await this.#negotiatedVersion(timeout) };
    const response = await this.#exchange(method, path, { headers, body }, userContext, timeout);
    return this.#readBody(method, path, response);
  }

  async getDocument(
    path: string,
    userContext: UserContext,
    headers?: Readonly<Record<string, string>>,
  ): Promise<BoundedResponse> {
    const version = this.#version === undefined ? {} : { "cdi-version": this.#version };
    return this.#exchange("GET", path, { headers: { ...headers, ...version } }, userContext);
  }

  async getCachedDocument(path: string, userContext: UserContext): Promise<BoundedResponse> {
    const fetchDocument = async () => {
      const response = await this.getDocument(path, userContext);
      if (response.status >= 500 || response.status === 429) throw refusedByCore("GET", path, response);
      return response;
    };
    return this.#config.disableCoreCallCache === true ? fetchDocument() : this.#documents.get(path, fetchDocument);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /** Sends one request to the first host that responds, starting with the next one in turn. */
  async #exchange(
    method: string,
    path: string,
    parts: CallParts,
    userContext: UserContext,
    timeout = BOUNDS.timeout,
  ): Promise<BoundedResponse> {
    let lastError: unknown;
    for (const host of this.#hostsInTurn()) {
      // Written outside of the try: an invalid request is not the fault of a host.
      const request = writeRequest(this.#buildRequest(host, method, path, parts, userContext));
      try {
        return await sendWithRetries(this.#connection.send, request, { ...BOUNDS, timeout });
      } catch (error) {
        if (error instanceof CountersignError) throw error; // every other host would fail in the same way
        lastError = error;
      }
    }
    throw new CountersignError(
      "core_unreachable",
      `cannot reach any host of the core for ${method} ${path}: ${messageOf(lastError)}`,
      { cause: lastError },
    );
  }

  #hostsInTurn(): readonly string[] {
    const { hosts } = this.#connection;
    const first = this.#nextHost++ % hosts.length;
    return [...hosts.slice(first), ...hosts.slice(0, first)];
  }

  #buildRequest(
    host: string,
    method: string,
    path: string,
    { params, headers, body }: CallParts,
    userContext: UserContext,
  ): CoreRequest {
    const { apiKey, networkInterceptor } = this.#config;
    const request: CoreRequest = { url: host + path, method, headers: { rid: "jwt", ...headers } };
    if (apiKey !== undefined) request.headers["api-key"] = apiKey;
    if (params !== undefined) request.params = params;
    if (body !== undefined) {
      request.headers["content-type"] = "application/json; charset=utf-8";
      request.body = body;
    }
    return networkInterceptor === undefined ? request : networkInterceptor(request, userContext);
  }

  /** The newest version that both sides support. Requested once; after a failure, the next call requests it again. */
  #negotiatedVersion(timeout?: number): Promise<string> {
    this.#negotiation ??= this.#negotiateVersion(timeout).catch((error: unknown) => {
      this.#negotiation = undefined;
      throw error;
    });
    return this.#negotiation;
  }

  async #negotiateVersion(timeout?: number): Promise<string> {
    const { apiDomain, websiteDomain } = this.#appInfo;
    const params: Record<string, string> = { apiDomain };
    if (websiteDomain !== undefined) params["websiteDomain"] = websiteDomain;
    const response = await this.#exchange("GET", PATHS.apiVersion, { params }, {}, timeout);
    const { versions } = this.#readBody("GET", PATHS.apiVersion, response);
    const offered: readonly unknown[] = Array.isArray(versions) ? versions : [];
    const newest = DRIVER_VERSIONS.filter((version) => offered.includes(version))
      .sort(compareVersions)
      .at(-1);
    if (newest === undefined) {
      throw new CountersignError("core_refused", "the core and this SDK have no driver interface version in common");
    }
    this.#version = newest;
    return newest;
  }

  #readBody(method: string, path: string, response: BoundedResponse): JsonObject {
    if (response.status !== 200) throw refusedByCore(method, path, response, explainUnauthorized(this.#config.apiKey));
    const parsed = parseStrictJson(response.text, LIMITS.jsonDepth);
    if (parsed.ok) return parsed.value;
    throw new CountersignError(
      "core_refused",
      `invalid response from the core to ${method} ${path}: not a JSON object`,
      {
        status: 200,
      },
    );
  }
}

/** A connection to a core: over the network, or in this process. */
export interface Connection {
  readonly hosts: readonly string[];
  readonly send: Fetch;
  close(): Promise<void>;
}

function connect(connectionURI: unknown): Connection {
  if (typeof connectionURI !== "string" || connectionURI.trim() === "") {
    throw new CountersignError(
      "invalid_option",
      "connectionURI: expected a URL such as http://localhost:3567, or file:./directory",
    );
  }
  if (/^file:/i.test(connectionURI)) return connectEmbeddedCore(connectionURI);
  const hosts = connectionURI
    .split(";")
    .filter((host) => host.trim() !== "")
    .map(normalizeHost);
  if (hosts.length === 0) throw new CountersignError("invalid_option", "connectionURI: expected at least one host");
  for (const host of hosts) warnOfPlainHttp(host);
  return { hosts, send: fetch, close: async () => {} };
}

const warned = new Set<string>();

/** Warns once per host. Clusters use plain HTTP, so a configured URL can use it. */
export function warnOfPlainHttp(address: string): void {
  const url = new URL(address);
  if (url.protocol !== "http:" || isLoopbackHost(url.hostname) || warned.has(url.host)) return;
  warned.add(url.host);
  const risk = "an on-path attacker can replace its keys and read tokens";
  process.emitWarning(`${url.origin} is reached over plain HTTP: ${risk}`, { code: "COUNTERSIGN_PLAIN_HTTP" });
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
    // Without the original message, which quotes the invalid header.
    throw new CountersignError(
      "invalid_argument",
      `cannot send ${method} to the core: the URL, the headers or the body are invalid`,
    );
  }
}

async function sendWithRetries(
  send: Fetch,
  { url, init }: OutgoingRequest,
  bounds: FetchBounds,
): Promise<BoundedResponse> {
  for (let attempt = 0; ; attempt++) {
    const response = await boundedFetch(send, url, init, bounds);
    const delay = Math.max(retryDelay(attempt), (retryAfterOf(response.headers) ?? 0) * 1000);
    if (response.status !== 429 || attempt === MAX_RETRIES || delay > MAX_RETRY_DELAY) return response;
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}

/** Explains a 401 response to this service. The core itself gives no reason, because it responds to anyone. */
function explainUnauthorized(apiKey: string | undefined): string {
  if (apiKey === undefined) return "no apiKey is set";
  if (!apiKey.startsWith(CREDENTIAL_PREFIX)) return "the core does not know this apiKey";
  return "the credential is unknown in this app, expired or revoked, or its service is disabled or deleted";
}

/** @param hint added to the message for a 401 response */
export function refusedByCore(
  method: string,
  path: string,
  response: BoundedResponse,
  hint?: string,
): CountersignError {
  const { status, text, headers } = response;
  const explanation = status === 401 && hint !== undefined ? ` (${hint})` : "";
  const message = `the core responded to ${method} ${path} with status ${status}: ${text.trim().slice(0, 300)}${explanation}`;
  return new CountersignError("core_refused", message, { status, retryAfter: retryAfterOf(headers) });
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}
