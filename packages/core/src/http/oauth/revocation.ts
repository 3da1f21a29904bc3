import { SERVICE_TOKEN_LIFETIME } from "countersign/protocol";
import { readOwnToken } from "../../use-cases/tokens/introspect.ts";
import type { HttpContext } from "../request/http-context.ts";
import { withHeaders, type CoreResponse } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import type { ReadClient } from "./read-client.ts";
import { NO_STORE, oauthError } from "./responses.ts";

export const REVOCATION_PATH = "/oauth/revoke";

/** Seconds; a revocation of a service's own token expires sooner. */
const MAX_RETRY_AFTER = 2 * SERVICE_TOKEN_LIFETIME;

const REVOKED: CoreResponse = { status: 200, headers: NO_STORE, body: "" };

/** `POST /oauth/revoke`: `token`, one of the calling service itself. */
export function revocationHandler(
  { revoke, state }: UseCases,
  readClient: ReadClient,
): (c: HttpContext) => Promise<CoreResponse> {
  return async (c) => {
    const client = await readClient.service(c);
    if (!client.ok) return client.response;
    const { principal, form } = client.value;
    const { appId, service } = principal;
    const token = form.get("token");
    if (token === undefined) return oauthError(400, "invalid_request", "token is missing");
    const claims = readOwnToken(state, appId, token)?.claims;
    if (claims === undefined) return REVOKED; // RFC 7009 section 2.2: not an error
    if (claims["sub"] !== service || claims["source"] !== "microservice") {
      return oauthError(400, "unauthorized_client", "the token was not issued to this client");
    }
    const revoked = await revoke.ownToken(appId, service, token);
    if (revoked.ok || revoked.status === 404) return REVOKED;
    if (revoked.status === 400) return oauthError(400, "unsupported_token_type", revoked.problem);
    const { roomAt = Infinity } = revoked;
    const wait = Math.min(MAX_RETRY_AFTER, Math.ceil(roomAt - state.now() / 1000));
    const response = oauthError(503, "temporarily_unavailable", revoked.problem);
    return withHeaders(response, { "retry-after": String(wait) });
  };
}
