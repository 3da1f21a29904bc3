import type { Algorithm } from "countersign/protocol";
import { scopesIn } from "../../domain/policy/scope.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { IssuedServiceToken, ServiceTokenRequest } from "../../use-cases/tokens/issue-service-token.ts";
import type { Form } from "../request/form-body.ts";
import type { HttpContext } from "../request/http-context.ts";
import type { CoreResponse, ReadResult } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { NOT_AUTHENTICATED } from "./client-authentication.ts";
import type { ReadClient } from "./read-client.ts";
import { oauthError, rejected, tokenResponse, unauthenticated, type OAuthError } from "./responses.ts";

export const TOKEN_PATH = "/oauth/token";
export const GRANT_TYPE = "client_credentials";

/** Seconds. Verifiers learn of a revocation sooner; a change of the policy takes effect when the token expires. */
const ACCESS_TOKEN_LIFETIME = 600;

/** For requests that need current keys and revocations. */
export const STATE_TOO_OLD = oauthError(
  503,
  "temporarily_unavailable",
  "the core has not reached its store for too long to trust its keys and revocations",
);

/** `POST /oauth/token`: `grant_type=client_credentials`, `audience` or `resource`, `scope`. */
export function tokenHandler(useCases: UseCases, readClient: ReadClient): (c: HttpContext) => Promise<CoreResponse> {
  const { issueServiceToken, issuerUrls, state } = useCases;

  return async (c) => {
    const client = await readClient.service(c);
    if (!client.ok) return client.response;
    const { principal, form } = client.value;
    const scopes = readGrant(form);
    if (!scopes.ok) return scopes.response;
    const issuer = issuerUrls.of(principal.appId);
    if (issuer === undefined) return oauthError(500, "server_error", "this core has no --public-url");
    const audience = readAudience(form, issuer);
    if (!audience.ok) return audience.response;
    const issued = await issueServiceToken({
      principal,
      audience: audience.value,
      scopes: scopes.value,
      issuer,
      kind: "dynamic",
      algorithm: algorithmIn(state, principal.appId),
      typ: "at+jwt",
      payload: { client_id: principal.service },
      validity: ACCESS_TOKEN_LIFETIME,
    });
    return toResponse(c, issued);
  };
}

/** Checks the grant type. Returns the requested scopes; `undefined` requests all that the policy allows. */
function readGrant(form: Form): ReadResult<ServiceTokenRequest["scopes"]> {
  const grant = form.get("grant_type");
  if (grant === undefined) return invalid("invalid_request", "grant_type is missing");
  if (grant !== GRANT_TYPE) return invalid("unsupported_grant_type", `grant_type must be ${GRANT_TYPE}`);
  const scope = form.get("scope");
  if (scope === undefined) return { ok: true, value: undefined };
  const scopes = scopesIn(scope);
  if (scopes === undefined) return invalid("invalid_scope", "scope must be scopes separated by single spaces");
  return { ok: true, value: scopes };
}

/**
 * Returns the name of the service to call. A `resource` is a URI below the issuer (RFC 8707 section 2), or just the name.
 */
function readAudience(form: Form, issuer: string): ReadResult<string | undefined> {
  const audience = form.get("audience");
  const resource = form.get("resource");
  const base = `${issuer}/services/`;
  const callee = resource?.startsWith(base) ? resource.slice(base.length) : resource;
  if (audience !== undefined && callee !== undefined && audience !== callee) {
    return invalid("invalid_target", "audience and resource name different services");
  }
  return { ok: true, value: audience ?? callee };
}

/**
 * Returns ES256 if the app signs with it: it is small and fast, and every verifier of access tokens supports it. Skips
 * an algorithm that the app has no active key for yet.
 */
function algorithmIn(state: InstanceState, appId: string): Algorithm {
  const { algorithms } = state.rotationPolicyOf(appId);
  const preferred = algorithms.includes("ES256") ? ["ES256" as const, ...algorithms] : algorithms;
  return preferred.find((algorithm) => state.signer(appId, "dynamic", algorithm) !== undefined) ?? preferred[0]!;
}

function toResponse(c: HttpContext, issued: IssuedServiceToken): CoreResponse {
  switch (issued.status) {
    case "issued": {
      const { iat, exp, scope } = issued.claims as { iat: number; exp: number; scope?: string };
      return tokenResponse({ access_token: issued.jwt, token_type: "Bearer", expires_in: exp - iat, scope });
    }
    case "denied":
      return oauthError(400, issued.error, issued.problem);
    case "refused": // the scopes are the only part without a small limit
      return oauthError(400, "invalid_scope", "a token with these scopes would be too large");
    case "unauthenticated":
      return unauthenticated(c, NOT_AUTHENTICATED);
    case "unavailable":
      return STATE_TOO_OLD;
    case "unsupported_algorithm":
    case "forbidden_claim":
      throw new Error(`failed to issue a service token: ${issued.status}`);
  }
}

function invalid(error: OAuthError, problem: string): ReadResult<never> {
  return rejected(oauthError(400, error, problem));
}
