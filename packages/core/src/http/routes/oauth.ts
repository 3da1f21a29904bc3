import { Hono, type Context } from "hono";
import type { Algorithm } from "countersign/protocol";
import { scopesIn } from "../../domain/scope.ts";
import { PlatformUnavailable } from "../../ports/platform-keys.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { ServicePrincipal } from "../../use-cases/authenticate.ts";
import { NOT_AUTHENTICATED, readClientProof } from "../client-proof.ts";
import type { Env, Services } from "../environment.ts";
import { answerJson, hasHungUp } from "../errors.ts";
import { readForm, type Form } from "../form-body.ts";
import { DEFAULT_TENANT } from "../request-path.ts";
import { noStore, refuseOAuth } from "./oauth-answer.ts";

export const OAUTH_BASE = "/oauth";
export const TOKEN_PATH = `${OAUTH_BASE}/token`;
export const OAUTH_PATHS = [TOKEN_PATH];

export const GRANT_TYPE = "client_credentials";

/** Seconds. What was revoked reaches verifiers sooner; what was taken away by policy ends with this. */
const ACCESS_TOKEN_LIFETIME = 600;

/**
 * OAuth 2.0 for services (RFC 6749), below `/oauth`. Every request is authenticated here: an API key or a loopback
 * address is nobody.
 *
 * | | |
 * |---|---|
 * | `POST /token` | `grant_type=client_credentials`, `audience` or `resource`, `scope`: an access token (RFC 9068) |
 */
export function oauthRoutes(services: Services): Hono<Env> {
  const { authenticateClient, failureLimit, issueServiceToken, issuers, keyRing, log } = services;
  const routes = new Hono<Env>();

  routes.post("/token", async (c) => {
    const client = await readClient(c);
    return client instanceof Response ? client : issue(c, client.principal, client.form);
  });
  routes.all("/token", (c) => {
    c.header("allow", "POST");
    return refuseOAuth(c, 405, "invalid_request", "POST was expected");
  });
  routes.onError((error, c) => {
    if (hasHungUp(c)) return refuseOAuth(c, 400, "invalid_request", "the request ended early");
    log.error({ err: error, method: c.req.method, route: c.get("path").route }, "a request failed");
    return error instanceof StoreUnavailable || error instanceof PlatformUnavailable
      ? refuseOAuth(c, 503, "temporarily_unavailable", "what is needed to answer cannot be had now")
      : refuseOAuth(c, 500, "server_error", "internal error");
  });
  return routes;

  /** The form and the service that sent it, or the answer to whoever else did. */
  async function readClient(c: Context<Env>): Promise<{ principal: ServicePrincipal; form: Form } | Response> {
    // Node keeps the first header of two: whoever stands before this core may have read the other one.
    if ((c.env?.incoming?.headersDistinct["authorization"]?.length ?? 0) > 1) {
      return refuseOAuth(c, 400, "invalid_request", "the header authorization was sent more than once");
    }
    const read = await readForm(c);
    if (!read.ok) return refuseOAuth(c, 400, read.error, read.problem);
    const { form } = read;
    const { appId, tenantId } = c.get("path");
    const shown = readClientProof(c.req.header("authorization"), form);
    if (!shown.ok && shown.error === "invalid_request") return refuseOAuth(c, 400, shown.error, shown.problem);
    // Nobody is known in an app or tenant that there is not, and nobody learns that from the answer.
    const principal =
      shown.ok && tenantId === DEFAULT_TENANT ? await authenticateClient(shown.proof, appId) : undefined;
    if (principal !== undefined) return { principal, form };
    if (!shown.ok && shown.problem !== NOT_AUTHENTICATED) return refuseOAuth(c, 401, shown.error, shown.problem);
    const wait = failureLimit.waitAfterFailure(c.env?.incoming?.socket.remoteAddress);
    if (wait === 0) return refuseOAuth(c, 401, "invalid_client", NOT_AUTHENTICATED);
    c.header("retry-after", String(wait));
    return refuseOAuth(c, 429, "invalid_client", "too many failed authentications: wait before the next one");
  }

  async function issue(c: Context<Env>, principal: ServicePrincipal, form: Form): Promise<Response> {
    const grant = form.get("grant_type");
    if (grant === undefined) return refuseOAuth(c, 400, "invalid_request", "grant_type is missing");
    if (grant !== GRANT_TYPE) return refuseOAuth(c, 400, "unsupported_grant_type", `there is ${GRANT_TYPE} only`);
    const [audience, resource, scope] = ["audience", "resource", "scope"].map((name) => form.get(name));
    if (audience !== undefined && resource !== undefined && audience !== resource) {
      return refuseOAuth(c, 400, "invalid_target", "audience and resource name two callees");
    }
    const scopes = scope === undefined ? undefined : scopesIn(scope);
    if (scope !== undefined && scopes === undefined) {
      return refuseOAuth(c, 400, "invalid_scope", "scopes with one blank between them were expected");
    }
    const { appId } = principal;
    const issuer = issuers.of(appId);
    if (issuer === undefined) return refuseOAuth(c, 500, "server_error", "this core has no --public-url");
    const issued = await issueServiceToken({
      ...{ principal, audience: audience ?? resource, scopes, issuer },
      ...{ kind: "dynamic", algorithm: algorithmOf(keyRing.policyOf(appId).algorithms), typ: "at+jwt" },
      ...{ payload: { client_id: principal.service }, validity: ACCESS_TOKEN_LIFETIME },
    });
    switch (issued.status) {
      case "issued": {
        const { iat, exp, scope: granted } = issued.claims as { iat: number; exp: number; scope?: string };
        noStore(c);
        return answerJson(c, {
          access_token: issued.jwt,
          token_type: "Bearer",
          expires_in: exp - iat,
          ...(granted === undefined ? {} : { scope: granted }),
        });
      }
      case "denied":
        return refuseOAuth(c, 400, issued.error, issued.problem);
      case "refused": // all else is short, so it is the scopes that make it too large
        return refuseOAuth(c, 400, "invalid_scope", "a token with these scopes would be too large");
      case "unavailable":
        return refuseOAuth(c, 503, "temporarily_unavailable", "keys are too old to be trusted");
      case "unsupported_algorithm":
      case "forbidden_claim":
        throw new Error(`the token of a service could not be issued: ${issued.status}`);
    }
  }
}

/** ES256 where the app signs with it: small, fast, and what every verifier of access tokens knows. */
function algorithmOf(algorithms: readonly Algorithm[]): Algorithm {
  return algorithms.includes("ES256") ? "ES256" : algorithms[0]!;
}
