import type { NormalisedAppInfo } from "./app-info.ts";
import type { CoreClient } from "./core-client.ts";
import { PATHS } from "./protocol/api.ts";
import type { FrontRequest, JwtRecipeInstance } from "./recipe/jwt-implementation.ts";

/** A request in the words all frameworks share. */
export interface FrontCall {
  readonly request: FrontRequest;
  /** The framework's own response object, for overrides that know it. */
  readonly originalResponse: unknown;
  /** Path without query, as the client sent it. */
  readonly path: string;
}

/** What to answer; undefined: not ours, the service's own routes go on. */
export interface FrontAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Front {
  handle(call: FrontCall): Promise<FrontAnswer | undefined>;
}

const JSON_TYPE = "application/json; charset=utf-8";

/** The front interface of a service: its core's public documents under the service's own domain. */
export function createFront(
  appInfo: NormalisedAppInfo,
  recipe: JwtRecipeInstance,
  core: CoreClient | undefined,
): Front {
  const base = appInfo.apiBasePath;

  async function serveJwks({ request, originalResponse }: FrontCall): Promise<FrontAnswer | undefined> {
    const { getJWKSGET } = recipe.apis;
    if (getJWKSGET === undefined) return undefined;
    const headers = new Map<string, string>();
    const res = {
      original: originalResponse,
      setHeader: (name: string, value: string) => void headers.set(name.toLowerCase(), value),
      removeHeader: (name: string) => void headers.delete(name.toLowerCase()),
    };
    const { config, functions } = recipe;
    const options = { req: request, res, config, recipeImplementation: functions, recipeId: "jwt" as const };
    const result = await getJWKSGET({ options, userContext: {} });
    if (!("keys" in result)) return answer(200, { status: result.status, message: result.message }, headers);
    return answer(200, { keys: result.keys }, headers.set("access-control-allow-origin", "*"));
  }

  /** A document of the core as it is, with the headers that say how long it may be kept. */
  async function forward(path: string): Promise<FrontAnswer | undefined> {
    if (core === undefined) return undefined;
    const response = await core.getKeptDocument(path, {});
    const headers = new Map([["access-control-allow-origin", "*"]]);
    for (const name of ["content-type", "cache-control", "etag"]) {
      const value = response.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    // That a core has no such document is for the caller to know; its other failures are the core's own affair.
    const status = response.status === 200 ? 200 : response.status >= 500 ? 503 : 404;
    return status === 200 ? { status, headers, body: response.text } : answer(status, {}, new Map());
  }

  const routes = new Map<string, (call: FrontCall) => Promise<FrontAnswer | undefined>>([
    [`${base}/jwt/jwks.json`, serveJwks],
    [`${base}/jwt/jwks-all.json`, () => forward(PATHS.jwksAll)],
    [`${base}/jwt/revocations`, () => forward(PATHS.revocations)],
    [
      `${base}/.well-known/openid-configuration`,
      async () => {
        const issuer = appInfo.apiDomain + base;
        const document = { issuer, jwks_uri: `${issuer}/jwt/jwks.json` };
        return answer(200, document, new Map([["access-control-allow-origin", "*"]]));
      },
    ],
  ]);

  return Object.freeze({
    async handle(call: FrontCall) {
      const method = call.request.getMethod().toUpperCase();
      if (method !== "GET" && method !== "HEAD") return undefined;
      return routes.get(call.path)?.(call);
    },
  });
}

function answer(status: number, body: object, headers: Map<string, string>): FrontAnswer {
  return { status, headers: headers.set("content-type", JSON_TYPE), body: JSON.stringify(body) };
}
