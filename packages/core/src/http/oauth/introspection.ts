import type { HttpContext } from "../request/http-context.ts";
import type { CoreResponse } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import type { ReadClient } from "./read-client.ts";
import { oauthError, tokenResponse } from "./responses.ts";
import { STATE_TOO_OLD } from "./token.ts";

export const INTROSPECTION_PATH = "/oauth/introspect";

/** The claims in a response (RFC 7662 section 2.2). All others are for the token's audience only. */
const PUBLIC_CLAIMS = ["iss", "sub", "aud", "client_id", "scope", "source", "iat", "nbf", "exp", "jti"];

/** `POST /oauth/introspect`: `token`. */
export function introspectionHandler(
  { introspect }: UseCases,
  readClient: ReadClient,
): (c: HttpContext) => Promise<CoreResponse> {
  return async (c) => {
    const form = await readClient.serviceOrApiKey(c);
    if (!form.ok) return form.response;
    const token = form.value.get("token");
    if (token === undefined) return oauthError(400, "invalid_request", "token is missing");
    const claims = introspect(c.path.appId, token);
    if (claims === "unknown") return STATE_TOO_OLD;
    if (claims === "inactive") return tokenResponse({ active: false });
    const shown = PUBLIC_CLAIMS.filter((name) => Object.hasOwn(claims, name)).map((name) => [name, claims[name]]);
    return tokenResponse({ active: true, token_type: "Bearer", ...Object.fromEntries(shown) });
  };
}
