import type { IncomingMessage, ServerResponse } from "node:http";
import { Hono, type Context, type Next } from "hono";
import { compareVersions, DRIVER_VERSIONS, isLoopbackHost, LIMITS, PATHS } from "countersign/protocol";
import { DEFAULT_APP } from "../../domain/apps/app.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { Env, UseCases } from "../request/use-cases.ts";
import { SocketContext } from "../request/socket-context.ts";
import { POLICY_BODY_BYTES, tooLarge } from "../request/body.ts";
import { hasHungUp, NO_SNIFF, refuseAdmin, refuseText } from "../request/responses.ts";
import { presentedKey } from "../request/presented-key.ts";
import { fieldsOf, headerOf } from "../request/request-header.ts";
import { appendedForm, DEFAULT_TENANT, splitPath, type RequestPath } from "../request/request-path.ts";
import { ADMIN_BASE, adminRoutes } from "../admin/admin-routes.ts";
import { cdiRoutes, type Route } from "../cdi/cdi-routes.ts";
import { helloHandler } from "../public/health.ts";
import { metadataRoutes } from "../oauth/metadata.ts";
import { OAUTH_BASE, OAUTH_PATHS, oauthRoutes, TOKEN_PATH } from "../oauth/oauth-routes.ts";
import { wellKnownRoutes } from "../public/well-known.ts";

/** Tenants came with version 3.0; before it such a path was unknown. */
const TENANTS_SINCE = "3.0";
const NEWEST_VERSION = DRIVER_VERSIONS.at(-1)!;

export interface HttpInterface {
  fetch(request: Request, env: object): Response | Promise<Response>;
  /**
   * Answers what is asked often and must cost little, without a web framework in between; the same code does as for
   * `fetch`, and the answers are alike.
   *
   * @returns false: it is not for here
   */
  answerAtOnce(incoming: IncomingMessage, outgoing: ServerResponse): boolean;
}

/**
 * The core's HTTP interface. The order is the security: headers that can be read in two ways are
 * refused, then the caller is authenticated, and only then the path and the app mean anything, so that
 * a stranger learns nothing about which of them exist.
 */
export function createHttpInterface(services: UseCases): HttpInterface {
  const { state, outages } = services;
  const driver = cdiRoutes(services);
  const wellKnown = [...wellKnownRoutes(services), ...metadataRoutes(services)];
  const hello = [PATHS.hello, "/"];
  const routes = new Set([...hello, ...[...driver, ...wellKnown].map((route) => route.path), ...OAUTH_PATHS]);
  const paths = new WeakMap<Request, RequestPath>(); // asked for twice: by the router and by what comes first
  const pathOf = (request: Request) => {
    const known = paths.get(request);
    if (known !== undefined) return known;
    const pathname = appendedForm(new URL(request.url).pathname, services.issuerUrls.path);
    const path = splitPath(pathname, (one) => routes.has(one));
    paths.set(request, path);
    return path;
  };

  const app = new Hono<Env>({ getPath: (request) => pathOf(request).route });
  app.use(async (c, next) => {
    c.set("path", pathOf(c.req.raw));
    // Before there is an answer, which would be made anew for it.
    for (const [name, value] of Object.entries(NO_SNIFF)) c.header(name, value);
    return next();
  });
  // Before all else: who asks here says so in ways of its own, and is refused by the words of OAuth.
  const oauth = oauthRoutes(services);
  app.route(OAUTH_BASE, oauth.routes);
  app.use(refuseDoubledHeaders);
  app.use(async (c, next) => {
    const presented = presentedKey(c);
    const principal = services.authenticate(presented, c.get("path").appId);
    const webPage = principal?.type === "anonymous" && isFromWebPage(c);
    c.set("principal", webPage ? undefined : principal);
    if (c.get("principal") !== undefined || isPublic(c.get("path"))) return next();
    // Who brings a key that is none has guessed; who brings none has not.
    const wait = presented === undefined ? 0 : services.failedAuthenticationLimit.waitAfterFailure(addressOf(c));
    if (wait > 0) return refuseTooMany(c, wait);
    if (isAdmin(c.get("path"))) return refuseAdmin(c, 401, "unauthorized", "Invalid admin key");
    return refuseText(
      c,
      401,
      webPage ? "Without an API key, only programs of this machine are answered" : "Invalid API key",
    );
  });
  app.use(async (c, next) => {
    const length = Number(headerOf(c, "content-length") ?? 0);
    const ofAdmin = isAdmin(c.get("path"));
    const most = ofAdmin ? POLICY_BODY_BYTES : LIMITS.requestBodyBytes; // a route may take less
    if (length <= most) return next();
    return ofAdmin ? refuseAdmin(c, 413, "too_large", tooLarge(most)) : refuseText(c, 413, tooLarge(most));
  });
  app.route(ADMIN_BASE, adminRoutes(services));

  const requireApp = async (c: Context<Env>, next: Next) => {
    if (c.get("path").tenantId !== DEFAULT_TENANT) return refuseTenant(c);
    if (!state.hasApp(c.get("path").appId)) return refuseText(c, 400, "AppId or tenantId not found => app unknown");
    return next();
  };

  for (const path of hello) app.all(path, requireApp, helloHandler(services));
  for (const { path, handle } of wellKnown) {
    app.get(path, requireApp, handle);
    app.all(path, (c) => refuseText(c, 405, "Method not supported"));
  }
  for (const route of driver) {
    app.on(route.method, route.path, readVersion, requireApp, requirePower(services, route), route.handle);
    app.all(route.path, (c) => refuseText(c, 405, "Method not supported"));
  }
  app.notFound((c) => refuseText(c, 404, "Not found"));
  app.onError((error, c) => {
    if (hasHungUp(c)) return refuseText(c, 400, "Bad Request");
    const unavailable = error instanceof StoreUnavailable;
    outages.tell(error, { method: c.req.method, route: c.get("path").route });
    if (isAdmin(c.get("path"))) {
      return unavailable
        ? refuseAdmin(c, 503, "store_unavailable", "The store cannot be used now")
        : refuseAdmin(c, 500, "internal", "Internal Error");
    }
    return unavailable ? refuseText(c, 503, "Service Unavailable") : refuseText(c, 500, "Internal Error");
  });
  return {
    fetch: app.fetch,
    answerAtOnce(incoming, outgoing) {
      const { method, url = "", headers } = incoming;
      const plain = method === "POST" ? PLAIN_TOKEN_PATH.exec(url) : null;
      if (plain === null) return false;
      // Else it may be too large, and what to do with the rest of it is the framework's to know.
      if (!(Number(headers["content-length"]) <= LIMITS.requestBodyBytes)) return false;
      const path = { appId: plain[1] ?? DEFAULT_APP, tenantId: DEFAULT_TENANT, route: TOKEN_PATH };
      void oauth.answerToken(new SocketContext(incoming, outgoing, path));
      return true;
    },
  };
}

/** The token endpoint of an app, in characters that need no reading. */
const PLAIN_TOKEN_PATH = new RegExp(`^(?:/appid-([a-z0-9-]+))?${TOKEN_PATH}$`);

function isPublic({ route }: RequestPath): boolean {
  return route === PATHS.hello || route === "/" || route.startsWith("/.well-known/");
}

function isAdmin({ route }: RequestPath): boolean {
  return route === ADMIN_BASE || route.startsWith(`${ADMIN_BASE}/`);
}

/** Node keeps the first Authorization header and joins the others: two readers, two meanings. */
async function refuseDoubledHeaders(c: Context<Env>, next: Next): Promise<Response | void> {
  const incoming = c.env?.incoming;
  for (const name of ["api-key", "authorization", "host"]) {
    if (incoming === undefined || fieldsOf(incoming, name).length <= 1) continue;
    const problem = `The header ${name} was sent more than once`;
    return isAdmin(c.get("path")) ? refuseAdmin(c, 400, "invalid", problem) : refuseText(c, 400, problem);
  }
  return next();
}

/** @returns undefined where there is no socket: who calls is in this process */
function addressOf(c: Context<Env>): string | undefined {
  return c.env?.incoming?.socket.remoteAddress;
}

/** @param wait seconds */
function refuseTooMany(c: Context<Env>, wait: number): Response {
  c.header("retry-after", String(wait));
  const problem = "Too many requests with an invalid key: wait before the next one";
  return isAdmin(c.get("path")) ? refuseAdmin(c, 429, "too_many_requests", problem) : refuseText(c, 429, problem);
}

/**
 * Without a key this machine is trusted, and so is a browser on it, whatever page it shows. A page that sends here
 * gives itself away by its Origin, and one whose name was made to resolve to this machine by its Host.
 */
function isFromWebPage(c: Context<Env>): boolean {
  const host = headerOf(c, "host")?.replace(/:\d+$/, "");
  return headerOf(c, "origin") !== undefined || (host !== undefined && !isLoopbackHost(host));
}

async function readVersion(c: Context<Env>, next: Next): Promise<Response | void> {
  const version = headerOf(c, "cdi-version");
  if (version !== undefined && !/^\d{1,4}\.\d{1,4}$/.test(version)) {
    return refuseText(c, 400, "cdi-version header is invalid");
  }
  if (version !== undefined && !DRIVER_VERSIONS.includes(version)) {
    return refuseText(c, 400, `cdi-version ${version} not supported`);
  }
  c.set("cdiVersion", version ?? NEWEST_VERSION);
  return next();
}

function refuseTenant(c: Context<Env>): Response {
  const version = headerOf(c, "cdi-version") ?? NEWEST_VERSION;
  return compareVersions(version, TENANTS_SINCE) < 0
    ? refuseText(c, 404, "Not found")
    : refuseText(c, 403, "Only public tenantId can call this app specific API");
}

/**
 * Managing apps is administration: once there is an admin key, an API key does not reach so far, and a service never
 * does.
 */
function requirePower({ config }: UseCases, { power }: Route) {
  return async (c: Context<Env>, next: Next): Promise<Response | void> => {
    const principal = c.get("principal")?.type;
    const isAdminKey = principal === "admin-key";
    const needsAdminKey = power === "apps" && (config.adminKeys.length > 0 || principal === "service");
    if (needsAdminKey && !isAdminKey) return refuseText(c, 403, "Managing apps needs an admin key");
    if (!needsAdminKey && isAdminKey) return refuseText(c, 401, "Invalid API key");
    return next();
  };
}
