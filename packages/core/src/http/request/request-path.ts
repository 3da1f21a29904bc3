import { DEFAULT_APP, normaliseAppId } from "../../domain/apps/app.ts";

/** A path of the driver interface taken apart: `/appid-<appId>/<tenantId><route>`. */
export interface RequestPath {
  readonly appId: string;
  readonly tenantId: string;
  readonly route: string;
}

export const DEFAULT_TENANT = "public";

const APP_PREFIX = /^\/appid-([^/]+)(\/.*)?$/;
const TENANT_PREFIX = /^\/([^/]+)(\/.*)?$/;

/**
 * @param pathname as the URL standard resolves it, so that authentication and routing see the same path
 * @param isRoute whether a path without prefixes is one of ours
 */
export function splitPath(pathname: string, isRoute: (path: string) => boolean): RequestPath {
  let appId = DEFAULT_APP;
  let rest = pathname;
  const app = APP_PREFIX.exec(pathname);
  if (app !== null) {
    appId = normaliseAppId(app[1]!);
    rest = app[2] ?? "/";
  }
  if (isRoute(rest)) return { appId, tenantId: DEFAULT_TENANT, route: rest };
  const tenant = TENANT_PREFIX.exec(rest);
  const tenantId = tenant?.[1]?.toLowerCase();
  const route = tenant?.[2] ?? "/";
  // `/something` alone is an unknown path, not somebody's root.
  if (tenantId === undefined || !isRoute(route) || (route === "/" && tenantId !== DEFAULT_TENANT)) {
    // Whole, so that nothing outside the driver interface answers below an app.
    return { appId, tenantId: DEFAULT_TENANT, route: pathname };
  }
  return { appId, tenantId, route };
}

const INSERTED = /^(\/\.well-known\/(?:oauth-authorization-server|openid-configuration))(\/.+)$/;

/**
 * An issuer that has a path has its metadata also where the well-known name stands before that path (RFC 8414 section
 * 3.1); here it is put behind, as everything of an app is found.
 *
 * @param publicPath the path that issuerUrls begin with, and that a proxy takes away from other requests
 */
export function appendedForm(pathname: string, publicPath: string): string {
  const [, name, issuerPath] = INSERTED.exec(pathname) ?? [];
  if (issuerPath === undefined || !`${issuerPath}/`.startsWith(`${publicPath}/`)) return pathname;
  return issuerPath.slice(publicPath.length) + name!;
}
