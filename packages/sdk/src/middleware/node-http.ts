// node:http adapter, shared by the frameworks that use node:http. It imports nothing from node:http, so that objects of
// node:http2 fit as well.
import type { FrontCall } from "../recipe/jwks-endpoints.ts";
import type { FrontRequest } from "../recipe/jwt-recipe.ts";
import { askFront, type Answer, type FrontOptions } from "./responses.ts";

/** The properties of a request that the adapters read; IncomingMessage and Http2ServerRequest have them. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** The whole path, in frameworks that remove mount paths from `url`. */
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
/** Two fields, which every verifier rejects. */
const TOO_MANY: readonly string[] = Object.freeze(["", ""]);
/** Node drops header names and values above this number. */
const MAX_RAW_HEADERS = 2_000;

/**
 * Returns all Authorization fields of the request, because two are rejected. `headers` contains only the first. It is the
 * fallback for requests without `rawHeaders`, such as those of a framework's `inject`.
 */
export function authorizationOf(req: NodeRequest): readonly string[] {
  const raw = req.rawHeaders ?? NONE;
  if (raw.length >= MAX_RAW_HEADERS) return TOO_MANY; // a dropped header can be a second one
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

/** The framework's own objects, for overrides of the recipe's endpoints. */
export interface Originals {
  readonly request: unknown;
  readonly response: unknown;
  /** The whole URL, if the framework keeps it in another place. */
  readonly url?: string;
}

/** Same as `askFront`, for a request of node:http. */
export function askFrontFor(
  options: FrontOptions,
  req: NodeRequest,
  originals: Originals,
): Promise<Answer | undefined> | undefined {
  return askFront(options, new NodeFrontCall(req, originals));
}

/** A class, because one is created per request, and methods of a class are created once. */
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
  if (res.headersSent) return; // by the service, such as after a timeout
  res.statusCode = status;
  for (const name in headers) res.setHeader(name, headers[name]!);
  res.end(body); // node:http omits the body for HEAD
}
