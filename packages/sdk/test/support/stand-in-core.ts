import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { listen, readBody, type TestServer } from "./http.ts";
import { forge, headerOf, rsaKey, type Jwk, type TestKey } from "./keys.ts";

/** A received call of `POST /recipe/jwt`. */
export interface JwtCall {
  readonly body: Record<string, unknown>;
  readonly headers: IncomingMessage["headers"];
}

/** Another implementation of the core: has the driver interface of the contract, with errors as text. */
export interface StandInCore extends TestServer {
  readonly key: TestKey;
  readonly calls: JwtCall[];
  /** The versions that `/apiversion` returns. */
  versions: unknown;
  /** The full set; undefined: this core has none, like existing cores. */
  fullSet: Jwk[] | undefined;
  revocations: string | undefined;
  cacheControl: string | undefined;
  jwksBody: string | undefined;
  /** If its tokens have a `jti`, as ours do: without one, two tokens of the same second are identical. */
  tokenIds: boolean;
  /** Handles a request before anything else; returns true if it did. */
  intercept: ((req: IncomingMessage, res: ServerResponse) => boolean) | undefined;
}

export interface StandInOptions {
  apiKey?: string;
  /** Base path of all routes. */
  basePath?: string;
}

let sharedKey: TestKey | undefined; // generating one takes longer than most tests

export async function startStandInCore({ apiKey, basePath = "" }: StandInOptions = {}): Promise<StandInCore> {
  const key = (sharedKey ??= rsaKey("s-stand-in"));
  const server = await listen((req, res) => void answer(req, res));
  const core: StandInCore = Object.assign(server, {
    key,
    calls: [],
    versions: ["2.21", "3.0", "5.0", "5.4", "99.0"],
    fullSet: undefined,
    revocations: undefined,
    cacheControl: "max-age=60, must-revalidate",
    jwksBody: undefined,
    tokenIds: false,
    intercept: undefined,
  });

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (core.intercept?.(req, res) === true) return;
    const [path = ""] = req.url!.split("?");
    if (!path.startsWith(`${basePath}/`)) return sendText(res, 404, "Not found");
    const route = path.slice(basePath.length);
    if (route.startsWith("/.well-known/")) return sendPublic(route, res);
    if (apiKey !== undefined && req.headers["api-key"] !== apiKey) return sendText(res, 401, "Invalid API key\n");
    if (route === "/apiversion") return sendJson(res, { versions: core.versions });
    if (route === "/recipe/jwt" && req.method === "POST") return mint(req, res);
    sendText(res, 404, "Not found");
  }

  function sendPublic(route: string, res: ServerResponse): void {
    if (core.cacheControl !== undefined) res.setHeader("cache-control", core.cacheControl);
    if (route === "/.well-known/jwks.json") {
      if (core.jwksBody !== undefined) return void res.end(core.jwksBody);
      return sendJson(res, { keys: [key.jwk] });
    }
    if (route === "/.well-known/jwks-all.json" && core.fullSet !== undefined)
      return sendJson(res, { keys: core.fullSet });
    if (route === "/.well-known/revocations" && core.revocations !== undefined) {
      res.setHeader("content-type", "application/jwt");
      res.setHeader("etag", '"1"');
      return void res.end(core.revocations);
    }
    sendText(res, 404, "Not found");
  }

  async function mint(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const body = JSON.parse(await readBody(req)) as Record<string, unknown>;
    core.calls.push({ body, headers: req.headers });
    const { payload, jwksDomain, validity, algorithm } = body;
    for (const [name, type] of [
      ["payload", "object"],
      ["algorithm", "string"],
      ["jwksDomain", "string"],
      ["validity", "number"],
    ] as const) {
      if (typeof body[name] !== type) return sendText(res, 400, `Field name '${name}' is invalid in JSON input`);
    }
    if (algorithm !== "RS256") return sendJson(res, { status: "UNSUPPORTED_ALGORITHM_ERROR" });
    const iat = Math.floor(Date.now() / 1000);
    const jti = core.tokenIds ? { jti: randomUUID() } : {};
    const claims = { iss: jwksDomain, ...jti, ...(payload as object), iat, exp: iat + (validity as number) };
    sendJson(res, { status: "OK", jwt: forge(key, headerOf(key), claims) });
  }

  return core;
}

function sendText(res: ServerResponse, status: number, text: string): void {
  res.writeHead(status, { "content-type": "text/html; charset=utf-8" }).end(text);
}

function sendJson(res: ServerResponse, body: object): void {
  res.setHeader("content-type", "application/json; charset=utf-8");
  res.end(JSON.stringify(body));
}
