import type { NormalisedAppInfo } from "../config/app-info.ts";
import { maxAgeOf } from "../runtime/bounded-fetch.ts";
import { refusedByCore, type CoreClient } from "../core-client/core-client.ts";
import { isNotThere } from "../core-client/document-cache.ts";
import { PATHS } from "../protocol/api.ts";
import { cacheControlFor, DEFAULT_MAX_AGE, type FrontRequest, type JwtRecipeInstance } from "./jwt-recipe.ts";

/** A request in the form that all frameworks share. */
export interface FrontCall {
  readonly request: FrontRequest;
  /** The framework's own response object, for overrides. */
  readonly originalResponse: unknown;
  /** Path without query, as the client sent it. */
  readonly path: string;
}

export interface FrontAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface Front {
  /** Returns the response; undefined for a path that is not part of it. Synchronous then, because most requests are. */
  handle(call: FrontCall): Promise<FrontAnswer | undefined> | undefined;
}

const JSON_TYPE = "application/json; charset=utf-8";

/** Creates the front interface of a service: the core's public documents under the service's own domain. */
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

  /** Serves the full key set, unless the service overrides its keys: then only `jwks.json` exists. */
  async function serveAllJwks(): Promise<FrontAnswer | undefined> {
    if (recipe.overridesKeys) return undefined;
    const served = await forward(PATHS.jwksAll);
    if (served?.status !== 200) return served;
    const maxAge = maxAgeOf(new Headers([...served.headers])) ?? DEFAULT_MAX_AGE;
    return { ...served, headers: new Map([...served.headers, ["cache-control", cacheControlFor(maxAge)]]) };
  }

  /** Forwards a document of the core unchanged, with its caching headers. */
  async function forward(path: string): Promise<FrontAnswer | undefined> {
    if (core === undefined) return undefined;
    const response = await core.getCachedDocument(path, {});
    if (isNotThere(response)) return answer(404, {}, new Map());
    // Other errors concern only the core and this service. A 404 would tell clients that the document does not exist.
    if (response.status !== 200) throw refusedByCore("GET", path, response);
    const headers = new Map([["access-control-allow-origin", "*"]]);
    for (const name of ["content-type", "cache-control", "etag"]) {
      const value = response.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    return { status: 200, headers, body: response.text };
  }

  const routes = new Map<string, (call: FrontCall) => Promise<FrontAnswer | undefined>>([
    [`${base}/jwt/jwks.json`, serveJwks],
    [`${base}/jwt/jwks-all.json`, serveAllJwks],
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
    handle(call: FrontCall) {
      const serve = routes.get(call.path);
      const method = call.request.getMethod().toUpperCase();
      return method === "GET" || method === "HEAD" ? serve?.(call) : undefined;
    },
  });
}

function answer(status: number, body: object, headers: Map<string, string>): FrontAnswer {
  return { status, headers: headers.set("content-type", JSON_TYPE), body: JSON.stringify(body) };
}
