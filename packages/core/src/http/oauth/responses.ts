import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { HttpContext } from "../request/socket-context.ts";

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

/** An answer that is not 200 (RFC 6749 section 5.2). No word of it is the caller's. */
export function refuseOAuth(
  c: HttpContext,
  status: ContentfulStatusCode,
  error: OAuthError,
  problem: string,
): Response {
  noStore(c);
  // Who has not used the header reads the body: widely used clients look no further than a challenge.
  if (status === 401 && c.req.header("authorization") !== undefined) {
    c.header("www-authenticate", 'Basic realm="services"');
  }
  const body = { error, error_description: problem.replaceAll('"', "'").replaceAll("\\", "/") };
  return c.body(JSON.stringify(body), status, { "content-type": "application/json; charset=utf-8" });
}

/** Tokens are nobody else's to keep (RFC 6749 section 5.1). */
export function noStore(c: HttpContext): void {
  c.header("cache-control", "no-store");
  c.header("pragma", "no-cache");
}
