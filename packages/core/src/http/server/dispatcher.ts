import { compareVersions, DRIVER_VERSIONS, isLoopbackHost, LIMITS, PATHS } from "countersign/protocol";
import { DEFAULT_APP } from "../../domain/apps/app.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import { ADMIN_BASE, adminHandler } from "../admin/admin-routes.ts";
import { adminError } from "../admin/responses.ts";
import { cdiRoutes, type CdiRoute } from "../cdi/cdi-routes.ts";
import { metadataRoutes } from "../oauth/metadata.ts";
import { oauthRoutes } from "../oauth/oauth-routes.ts";
import { helloHandler } from "../public/health.ts";
import { wellKnownRoutes } from "../public/well-known.ts";
import { POLICY_BODY_BYTES, tooLarge } from "../request/body.ts";
import type { HttpContext } from "../request/http-context.ts";
import { presentedKey } from "../request/presented-key.ts";
import { appendedForm, DEFAULT_TENANT, splitPath, type RequestPath } from "../request/request-path.ts";
import { textResponse, withHeaders, type CoreResponse } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";

export interface Dispatcher {
  /** @param pathname as the URL standard resolves it */
  pathOf(pathname: string): RequestPath;
  /** Answers a request. Failures become responses in the form of the contract, and are logged. */
  dispatch(c: HttpContext): Promise<CoreResponse>;
}

interface Route {
  /** `any`: every method. GET includes HEAD. */
  readonly method: "GET" | "POST" | "PUT" | "any";
  handle(c: HttpContext): CoreResponse | Promise<CoreResponse>;
}

/** Returns the response that rejects the request, or `undefined` to continue. */
type Check = (c: HttpContext) => CoreResponse | undefined;

/**
 * Every request takes the same steps, and their order is the security: reject headers that can be read in two ways,
 * authenticate the caller, and only then look at the path and the app. Unauthenticated clients cannot find out which of
 * them exist.
 */
export function createDispatcher(useCases: UseCases): Dispatcher {
  const routes = routesOf(useCases);
  const oauth = oauthRoutes(useCases);
  const admin = adminHandler(useCases);
  const authenticate = createAuthenticate(useCases);
  const isRoute = (path: string) => routes.has(path) || oauth.has(path);
  /** Most requests are for the default app, on a path without prefixes. */
  const plainPaths = new Map<string, RequestPath>(
    [...routes.keys(), ...oauth.keys()].map((path) => [
      path,
      { appId: DEFAULT_APP, tenantId: DEFAULT_TENANT, route: path },
    ]),
  );

  return {
    pathOf: (pathname) =>
      plainPaths.get(pathname) ?? splitPath(appendedForm(pathname, useCases.issuerUrls.path), isRoute),

    async dispatch(c) {
      // OAuth endpoints authenticate with methods of their own, and answer with errors of RFC 6749.
      const endpoint = oauth.get(c.path.route);
      if (endpoint !== undefined) return endpoint(c);
      try {
        const rejection = rejectRepeatedHeaders(c) ?? authenticate(c) ?? rejectLargeBody(c);
        return await (rejection ?? (isAdmin(c.path) ? admin(c) : route(c)));
      } catch (error) {
        return failure(useCases, c, error);
      }
    },
  };

  function route(c: HttpContext): CoreResponse | Promise<CoreResponse> {
    const found = routes.get(c.path.route);
    if (found === undefined) return textResponse(404, "Not found");
    const method = c.method === "HEAD" ? "GET" : c.method;
    if (found.method !== "any" && found.method !== method) return textResponse(405, "Method not supported");
    return found.handle(c);
  }
}

/** The routes of the driver interface and of public documents. Their paths have no parameters. */
function routesOf(useCases: UseCases): ReadonlyMap<string, Route> {
  const requireApp = createRequireApp(useCases);
  const hello = helloHandler(useCases);
  const routes = new Map<string, Route>();
  for (const path of [PATHS.hello, "/"]) {
    routes.set(path, { method: "any", handle: (c) => requireApp(c) ?? hello(c) });
  }
  for (const { path, handle } of [...wellKnownRoutes(useCases), ...metadataRoutes(useCases)]) {
    routes.set(path, { method: "GET", handle: (c) => requireApp(c) ?? handle(c) });
  }
  for (const route of cdiRoutes(useCases)) {
    const requirePower = createRequirePower(useCases, route);
    const { method, handle } = route;
    routes.set(route.path, { method, handle: (c) => readVersion(c) ?? requireApp(c) ?? requirePower(c) ?? handle(c) });
  }
  return routes;
}

/** Node keeps the first Authorization header and joins other headers, so a proxy could have read another value. */
function rejectRepeatedHeaders(c: HttpContext): CoreResponse | undefined {
  for (const name of ["api-key", "authorization", "host"]) {
    if (c.isRepeated(name)) return errorResponse(c, 400, "invalid", `The header ${name} was sent more than once`);
  }
  return undefined;
}

const LOCAL_ONLY = "Without an API key, the core accepts only local programs that use a loopback address";

function createAuthenticate({ authenticate, failedAuthenticationLimit }: UseCases): Check {
  return (c) => {
    const key = presentedKey(c);
    const principal = authenticate(key, c.path.appId);
    const isAnonymous = principal?.type === "anonymous";
    const isWebPage = isAnonymous && isFromWebPage(c);
    const isGuess = isAnonymous && key !== undefined && isAdmin(c.path);
    if (!isWebPage && !isGuess) c.principal = principal;
    if (c.principal !== undefined || isPublic(c.path)) return undefined;
    // Only a request with a wrong key is a guess.
    const wait = key === undefined ? 0 : failedAuthenticationLimit.waitAfterFailure(c.remoteAddress);
    if (wait > 0) {
      const message = "Too many requests with an invalid key; retry later";
      return withHeaders(errorResponse(c, 429, "too_many_requests", message), { "retry-after": String(wait) });
    }
    if (isAdmin(c.path)) return adminError(401, "unauthorized", "Invalid admin key");
    return textResponse(401, isWebPage ? LOCAL_ONLY : "Invalid API key");
  };
}

/**
 * Without an API key we trust the local machine, which includes its browser. Detect cross-site requests by Origin and DNS
 * rebinding by Host.
 */
function isFromWebPage(c: HttpContext): boolean {
  const host = c.header("host")?.replace(/:\d+$/, "");
  return c.header("origin") !== undefined || (host !== undefined && !isLoopbackHost(host));
}

/** A route can have a lower limit. */
function rejectLargeBody(c: HttpContext): CoreResponse | undefined {
  const length = Number(c.header("content-length") ?? 0);
  const limit = isAdmin(c.path) ? POLICY_BODY_BYTES : LIMITS.requestBodyBytes;
  return length <= limit ? undefined : errorResponse(c, 413, "too_large", tooLarge(limit));
}

const NEWEST_VERSION = DRIVER_VERSIONS.at(-1)!;
/** Older versions have no tenants in their paths. */
const TENANTS_SINCE = "3.0";

function readVersion(c: HttpContext): CoreResponse | undefined {
  const version = c.header("cdi-version");
  if (version !== undefined && !/^\d{1,4}\.\d{1,4}$/.test(version)) {
    return textResponse(400, "cdi-version header is invalid");
  }
  if (version !== undefined && !DRIVER_VERSIONS.includes(version)) {
    return textResponse(400, `cdi-version ${version} not supported`);
  }
  c.cdiVersion = version ?? NEWEST_VERSION;
  return undefined;
}

function createRequireApp({ state }: UseCases): Check {
  return (c) => {
    const { appId, tenantId } = c.path;
    if (tenantId !== DEFAULT_TENANT) return rejectTenant(c);
    if (!state.hasApp(appId)) return textResponse(400, "AppId or tenantId not found => app unknown");
    return undefined;
  };
}

function rejectTenant(c: HttpContext): CoreResponse {
  const version = c.header("cdi-version") ?? NEWEST_VERSION;
  return compareVersions(version, TENANTS_SINCE) < 0
    ? textResponse(404, "Not found")
    : textResponse(403, "Only public tenantId can call this app specific API");
}

/** Managing apps is administration: it requires an admin key if the core has one, and services can never do it. */
function createRequirePower({ config }: UseCases, { power }: CdiRoute): Check {
  return (c) => {
    const caller = c.principal?.type;
    const isAdminKey = caller === "admin-key";
    const needsAdminKey = power === "apps" && (config.adminKeys.length > 0 || caller === "service");
    if (needsAdminKey && !isAdminKey) return textResponse(403, "Managing apps needs an admin key");
    if (!needsAdminKey && isAdminKey) return textResponse(401, "Invalid API key");
    return undefined;
  };
}

function failure({ outages }: UseCases, c: HttpContext, error: unknown): CoreResponse {
  if (c.isAborted) return textResponse(400, "Bad Request"); // no client reads it; logging it would let attackers fill the log
  outages.report(error, { method: c.method, route: c.path.route });
  if (error instanceof StoreUnavailable) {
    return isAdmin(c.path)
      ? adminError(503, "store_unavailable", "The store is unavailable")
      : textResponse(503, "Service Unavailable");
  }
  return errorResponse(c, 500, "internal", "Internal Error");
}

/** Returns an error in the form of the contract that the path belongs to. */
function errorResponse(c: HttpContext, status: number, code: string, message: string): CoreResponse {
  return isAdmin(c.path) ? adminError(status, code, message) : textResponse(status, message);
}

function isPublic({ route }: RequestPath): boolean {
  return route === PATHS.hello || route === "/" || route.startsWith("/.well-known/");
}

function isAdmin({ route }: RequestPath): boolean {
  return route === ADMIN_BASE || route.startsWith(`${ADMIN_BASE}/`);
}
