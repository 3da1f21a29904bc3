import { DEFAULT_APP, normaliseAppId } from "../domain/app.ts";

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
