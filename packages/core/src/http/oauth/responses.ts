import type { HttpContext } from "../request/http-context.ts";
import { jsonResponse, withHeaders, type CoreResponse, type ReadResult } from "../request/responses.ts";

/** RFC 6749 sections 4.1.2.1 and 5.2, RFC 7009 section 2.2.1 and RFC 8707 section 2. */
export type OAuthError =
  | "invalid_request"
  | "invalid_client"
  | "unauthorized_client"
  | "unsupported_grant_type"
  | "unsupported_token_type"
  | "invalid_scope"
  | "invalid_target"
  | "server_error"
  | "temporarily_unavailable";

/** No cache can store tokens (RFC 6749 section 5.1). */
export const NO_STORE: CoreResponse["headers"] = { "cache-control": "no-store", pragma: "no-cache" };

/** Returns a response with a token, or with what is known of one. */
export function tokenResponse(body: object): CoreResponse {
  return withHeaders(jsonResponse(body), NO_STORE);
}

/** Returns an error response (RFC 6749 section 5.2). `problem` must contain no input of the client. */
export function oauthError(status: number, error: OAuthError, problem: string): CoreResponse {
  const description = problem.replaceAll('"', "'").replaceAll("\\", "/");
  return withHeaders(jsonResponse({ error, error_description: description }, status), NO_STORE);
}

/** Returns the error for a client that has not authenticated. */
export function unauthenticated(c: HttpContext, problem: string): CoreResponse {
  const response = oauthError(401, "invalid_client", problem);
  // Some clients read no body after a challenge, so send one only if the client used the header.
  if (c.header("authorization") === undefined) return response;
  return withHeaders(response, { "www-authenticate": 'Basic realm="services"' });
}

export function rejected(response: CoreResponse): ReadResult<never> {
  return { ok: false, response };
}
