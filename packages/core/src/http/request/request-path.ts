import { DEFAULT_APP, normalizeAppId } from "../../domain/apps/app.ts";

/** The parts of a path of the driver interface: `/appid-<appId>/<tenantId><route>`. */
export interface RequestPath {
  readonly appId: string;
  readonly tenantId: string;
  readonly route: string;
}

export const DEFAULT_TENANT = "public";

const APP_PREFIX = /^\/appid-([^/]+)(\/.*)?$/;
const TENANT_PREFIX = /^\/([^/]+)(\/.*)?$/;

/**
 * Splits a path into app, tenant and route. A path that ends in no known route is one route as a whole.
 *
 * @param isRoute reports whether a path without prefixes is a known route
 */
export function splitPath(pathname: string, isRoute: (path: string) => boolean): RequestPath {
  let appId = DEFAULT_APP;
  let rest = pathname;
  const app = APP_PREFIX.exec(pathname);
  if (app !== null) {
    appId = normalizeAppId(app[1]!);
    rest = app[2] ?? "/";
  }
  if (isRoute(rest)) return { appId, tenantId: DEFAULT_TENANT, route: rest };
  const tenant = TENANT_PREFIX.exec(rest);
  const tenantId = tenant?.[1]?.toLowerCase();
  const route = tenant?.[2] ?? "/";
  // `/something` alone is an unknown path, not the root of a tenant.
  if (tenantId === undefined || !isRoute(route) || (route === "/" && tenantId !== DEFAULT_TENANT)) {
    // Keep the prefixes, so that a path of another contract, such as /admin/v1, is unknown after an app prefix.
    return { appId, tenantId: DEFAULT_TENANT, route: pathname };
  }
  return { appId, tenantId, route };
}

const INSERTED = /^(\/\.well-known\/(?:oauth-authorization-server|openid-configuration))(\/.+)$/;

/**
 * Moves a well-known name from before the path of an issuer (RFC 8414 section 3.1) to after it, where the routes of an
 * app are. Returns other paths unchanged.
 *
 * @param publicPath the path that issuer URLs begin with, and that a proxy removes from other requests
 */
export function appendedForm(pathname: string, publicPath: string): string {
  const [, name, issuerPath] = INSERTED.exec(pathname) ?? [];
  if (issuerPath === undefined || !`${issuerPath}/`.startsWith(`${publicPath}/`)) return pathname;
  return issuerPath.slice(publicPath.length) + name!;
}
