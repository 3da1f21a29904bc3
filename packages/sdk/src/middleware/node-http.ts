// Translates between node:http and the parts that decide, for every framework that stands on it. Nothing of node:http is
// imported: its objects, and those of node:http2, come with the request.
import type { FrontCall } from "../recipe/jwks-endpoints.ts";
import type { FrontRequest } from "../recipe/jwt-recipe.ts";
import { askFront, type Answer, type FrontOptions } from "./responses.ts";

/** What is read of a request: IncomingMessage and Http2ServerRequest have it, and what tests put in their place. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** The whole path, kept by frameworks that take mount paths off `url`. */
  readonly originalUrl?: string | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly rawHeaders?: readonly string[] | undefined;
}

export interface NodeResponse {
  readonly headersSent: boolean;
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
}

const NONE: readonly string[] = Object.freeze([]);
/** No request has so many fields. */
const TOO_MANY: readonly string[] = Object.freeze(["", ""]);
/** Names and values that Node keeps of a longer list. */
const MAX_RAW_HEADERS = 2_000;

/**
 * Every Authorization field as it came over the wire: two are refused. `headers` keeps the first of them only, also
 * that of node:http2; it is asked where nothing came over a wire, as in a framework's own `inject`.
 */
export function authorizationOf(req: NodeRequest): readonly string[] {
  const raw = req.rawHeaders ?? NONE;
  if (raw.length >= MAX_RAW_HEADERS) return TOO_MANY; // a second one may stand in what was left out
  let fields = NONE;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    if (name.length !== 13 || name.toLowerCase() !== "authorization") continue;
    fields = fields === NONE ? [raw[i + 1]!] : [...fields, raw[i + 1]!];
  }
  if (fields !== NONE) return fields;
  const field = req.headers["authorization"];
  return field === undefined ? NONE : [field].flat();
}

/** The framework's own objects, for overrides of the front interface that know them. */
export interface Originals {
  readonly request: unknown;
  readonly response: unknown;
  /** Where the framework keeps the whole URL elsewhere. */
  readonly url?: string;
}

/** As `askFront`, for a request of node:http. */
export function askFrontFor(
  options: FrontOptions,
  req: NodeRequest,
  originals: Originals,
): Promise<Answer | undefined> | undefined {
  return askFront(options, new NodeFrontCall(req, originals));
}

/** One per request of a service: its methods are made once. */
class NodeFrontCall implements FrontCall, FrontRequest {
  readonly path: string;
  readonly original: unknown;
  readonly originalResponse: unknown;
  readonly #req: NodeRequest;
  readonly #url: string;

  constructor(req: NodeRequest, { request, response, url = req.originalUrl ?? req.url ?? "/" }: Originals) {
    this.#req = req;
    this.#url = url;
    const query = this.#url.indexOf("?");
    this.path = query === -1 ? this.#url : this.#url.slice(0, query);
    this.original = request;
    this.originalResponse = response;
  }

  get request(): FrontRequest {
    return this;
  }

  getMethod(): string {
    return this.#req.method ?? "GET";
  }

  getOriginalURL(): string {
    return this.#url;
  }

  getHeaderValue(name: string): string | undefined {
    return [this.#req.headers[name.toLowerCase()]].flat()[0];
  }

  getKeyValueFromQuery(name: string): string | undefined {
    return new URLSearchParams(this.#url.slice(this.path.length)).get(name) ?? undefined;
  }
}

export function send(res: NodeResponse, { status, headers, body }: Answer): void {
  if (res.headersSent) return; // a timeout of the service's own was faster
  res.statusCode = status;
  for (const name in headers) res.setHeader(name, headers[name]!);
  res.end(body); // node:http leaves the body out of an answer to HEAD
}
