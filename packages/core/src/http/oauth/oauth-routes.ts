import { Hono } from "hono";
import { SERVICE_TOKEN_LIFETIME, type Algorithm } from "countersign/protocol";
import { scopesIn } from "../../domain/policy/scope.ts";
import { PlatformUnavailable } from "../../ports/platform-keys.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { ServicePrincipal } from "../../use-cases/authentication/authenticate.ts";
import { readOwnToken } from "../../use-cases/tokens/introspect.ts";
import { NOT_AUTHENTICATED } from "./client-authentication.ts";
import type { Env, UseCases } from "../request/use-cases.ts";
import type { HttpContext } from "../request/socket-context.ts";
import { answerJson, hasHungUp } from "../request/responses.ts";
import type { Form } from "../request/form-body.ts";
import { noStore, refuseOAuth } from "./responses.ts";
import { createReadClient } from "./read-client.ts";

export const OAUTH_BASE = "/oauth";
export const TOKEN_PATH = `${OAUTH_BASE}/token`;
export const INTROSPECTION_PATH = `${OAUTH_BASE}/introspect`;
export const REVOCATION_PATH = `${OAUTH_BASE}/revoke`;
export const OAUTH_PATHS = [TOKEN_PATH, INTROSPECTION_PATH, REVOCATION_PATH];

export const GRANT_TYPE = "client_credentials";

/** Seconds. What was revoked reaches verifiers sooner; what was taken away by policy ends with this. */
const ACCESS_TOKEN_LIFETIME = 600;

export interface OAuthRoutes {
  readonly routes: Hono<Env>;
  /** `POST /token`, for who has no need of routes. Never rejects. */
  answerToken(c: HttpContext): Promise<Response>;
}

/**
 * OAuth 2.0 for services (RFC 6749), below `/oauth`. Every request is authenticated here: an API key or a loopback
 * address is nobody.
 *
 * | | |
 * |---|---|
 * | `POST /token` | `grant_type=client_credentials`, `audience` or `resource`, `scope`: an access token (RFC 9068) |
 * | `POST /introspect` | `token`: whether it is good, and what it says (RFC 7662); with an API key, too |
 * | `POST /revoke` | `token`: nobody takes it any more (RFC 7009); of the service itself only |
 */
export function oauthRoutes(services: UseCases): OAuthRoutes {
  const { introspect, issueServiceToken, issuerUrls, state, revoke, outages } = services;
  const readClient = createReadClient(services);
  const routes = new Hono<Env>();

  routes.post("/token", (c) => tokenOf(c));
  routes.post("/introspect", async (c) => {
    const client = await readClient.anybody(c);
    return client instanceof Response ? client : tellOf(c, client.form);
  });
  routes.post("/revoke", async (c) => {
    const client = await readClient.service(c);
    return client instanceof Response ? client : revokeOwn(c, client.principal, client.form);
  });
  for (const path of OAUTH_PATHS) {
    routes.all(path.slice(OAUTH_BASE.length), (c) => {
      c.header("allow", "POST");
      return refuseOAuth(c, 405, "invalid_request", "POST was expected");
    });
  }
  routes.onError((error, c) => answerFailure(error, c));
  return { routes, answerToken: (c) => tokenOf(c).catch((error: unknown) => answerFailure(error, c)) };

  async function tokenOf(c: HttpContext): Promise<Response> {
    const client = await readClient.service(c);
    return client instanceof Response ? client : issue(c, client.principal, client.form);
  }

  function answerFailure(error: unknown, c: HttpContext): Response {
    if (hasHungUp(c)) return refuseOAuth(c, 400, "invalid_request", "the request ended early");
    outages.tell(error, { method: c.req.method, route: c.get("path").route });
    return error instanceof StoreUnavailable || error instanceof PlatformUnavailable
      ? refuseOAuth(c, 503, "temporarily_unavailable", "what is needed to answer cannot be had now")
      : refuseOAuth(c, 500, "server_error", "internal error");
  }

  async function issue(c: HttpContext, principal: ServicePrincipal, form: Form): Promise<Response> {
    const grant = form.get("grant_type");
    if (grant === undefined) return refuseOAuth(c, 400, "invalid_request", "grant_type is missing");
    if (grant !== GRANT_TYPE) return refuseOAuth(c, 400, "unsupported_grant_type", `there is ${GRANT_TYPE} only`);
    const audience = form.get("audience");
    const resource = form.get("resource");
    const scope = form.get("scope");
    const scopes = scope === undefined ? undefined : scopesIn(scope);
    if (scope !== undefined && scopes === undefined) {
      return refuseOAuth(c, 400, "invalid_scope", "scopes with one blank between them were expected");
    }
    const { appId } = principal;
    const issuer = issuerUrls.of(appId);
    if (issuer === undefined) return refuseOAuth(c, 500, "server_error", "this core has no --public-url");
    const callee = calleeIn(resource, issuer);
    if (audience !== undefined && callee !== undefined && audience !== callee) {
      return refuseOAuth(c, 400, "invalid_target", "audience and resource name two callees");
    }
    const issued = await issueServiceToken({
      principal,
      audience: audience ?? callee,
      scopes,
      issuer,
      kind: "dynamic",
      algorithm: algorithmIn(appId),
      typ: "at+jwt",
      payload: { client_id: principal.service },
      validity: ACCESS_TOKEN_LIFETIME,
    });
    switch (issued.status) {
      case "issued": {
        const { iat, exp, scope: granted } = issued.claims as { iat: number; exp: number; scope?: string };
        noStore(c);
        return answerJson(c, { access_token: issued.jwt, token_type: "Bearer", expires_in: exp - iat, scope: granted });
      }
      case "denied":
        return refuseOAuth(c, 400, issued.error, issued.problem);
      case "refused": // all else is short, so it is the scopes that make it too large
        return refuseOAuth(c, 400, "invalid_scope", "a token with these scopes would be too large");
      case "unauthenticated":
        return refuseOAuth(c, 401, "invalid_client", NOT_AUTHENTICATED);
      case "unavailable":
        return refuseOAuth(c, 503, "temporarily_unavailable", TOO_OLD);
      case "unsupported_algorithm":
      case "forbidden_claim":
        throw new Error(`the token of a service could not be issued: ${issued.status}`);
    }
  }

  /**
   * ES256 where the app signs with it: small, fast, and what every verifier of access tokens knows. Of what the app was
   * told a moment ago there may be no key yet.
   */
  function algorithmIn(appId: string): Algorithm {
    const { algorithms } = state.rotationPolicyOf(appId);
    const wanted = algorithms.includes("ES256") ? ["ES256" as const, ...algorithms] : algorithms;
    return wanted.find((algorithm) => state.signer(appId, "dynamic", algorithm) !== undefined) ?? wanted[0]!;
  }

  function tellOf(c: HttpContext, form: Form): Response {
    const token = form.get("token");
    if (token === undefined) return refuseOAuth(c, 400, "invalid_request", "token is missing");
    const claims = introspect(c.get("path").appId, token);
    if (claims === "unknown") return refuseOAuth(c, 503, "temporarily_unavailable", TOO_OLD);
    noStore(c);
    if (claims === "inactive") return answerJson(c, { active: false });
    const told = TOLD.filter((name) => Object.hasOwn(claims, name)).map((name) => [name, claims[name]]);
    return answerJson(c, { active: true, token_type: "Bearer", ...Object.fromEntries(told) });
  }

  async function revokeOwn(c: HttpContext, { appId, service }: ServicePrincipal, form: Form): Promise<Response> {
    const token = form.get("token");
    if (token === undefined) return refuseOAuth(c, 400, "invalid_request", "token is missing");
    const claims = readOwnToken(state, appId, token)?.claims;
    noStore(c);
    // What nobody takes anyway is as good as revoked (RFC 7009 section 2.2).
    if (claims === undefined) return c.body(null, 200);
    if (claims["sub"] !== service || claims["source"] !== "microservice") {
      return refuseOAuth(c, 400, "unauthorized_client", "the token was not issued to this client");
    }
    const revoked = await revoke.ownToken(appId, service, token);
    if (revoked.ok || revoked.status === 404) return c.body(null, 200);
    if (revoked.status === 400) return refuseOAuth(c, 400, "unsupported_token_type", revoked.problem);
    const { roomAt = Infinity } = revoked;
    c.header("retry-after", String(Math.min(MAX_RETRY_AFTER, Math.ceil(roomAt - state.now() / 1000))));
    return refuseOAuth(c, 503, "temporarily_unavailable", revoked.problem);
  }
}

/** Seconds: a service's own tokens are forgotten sooner. */
const MAX_RETRY_AFTER = 2 * SERVICE_TOKEN_LIFETIME;

/** A `resource` is an absolute URI (RFC 8707 section 2); a name alone is taken as well. */
function calleeIn(resource: string | undefined, issuer: string): string | undefined {
  const base = `${issuer}/services/`;
  return resource?.startsWith(base) ? resource.slice(base.length) : resource;
}

const TOO_OLD = "what is known of keys and revocations is too old to be trusted";

/** What is told of a token (RFC 7662 section 2.2), and no more: what else it says is for its audience. */
const TOLD = ["iss", "sub", "aud", "client_id", "scope", "source", "iat", "nbf", "exp", "jti"];
