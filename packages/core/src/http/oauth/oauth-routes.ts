import { PlatformUnavailable } from "../../ports/platform-keys.ts";
import { StoreUnavailable } from "../../ports/store.ts";
import type { HttpContext } from "../request/http-context.ts";
import { withHeaders, type CoreResponse } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { INTROSPECTION_PATH, introspectionHandler } from "./introspection.ts";
import { createReadClient } from "./read-client.ts";
import { oauthError } from "./responses.ts";
import { REVOCATION_PATH, revocationHandler } from "./revocation.ts";
import { TOKEN_PATH, tokenHandler } from "./token.ts";

type Handler = (c: HttpContext) => Promise<CoreResponse>;

/**
 * OAuth 2.0 for services (RFC 6749): the endpoints by path. They authenticate every request by themselves, and answer
 * with errors of their own form; they never reject.
 *
 * | | |
 * |---|---|
 * | `POST /oauth/token` | issues an access token (RFC 9068) |
 * | `POST /oauth/introspect` | describes a token (RFC 7662) |
 * | `POST /oauth/revoke` | revokes a token of the calling service (RFC 7009) |
 */
export function oauthRoutes(useCases: UseCases): ReadonlyMap<string, Handler> {
  const readClient = createReadClient(useCases);
  const handlers: readonly [path: string, handle: Handler][] = [
    [TOKEN_PATH, tokenHandler(useCases, readClient)],
    [INTROSPECTION_PATH, introspectionHandler(useCases, readClient)],
    [REVOCATION_PATH, revocationHandler(useCases, readClient)],
  ];
  return new Map(handlers.map(([path, handle]) => [path, (c) => respond(useCases, handle, c)]));
}

async function respond({ outages }: UseCases, handle: Handler, c: HttpContext): Promise<CoreResponse> {
  if (c.method !== "POST") {
    return withHeaders(oauthError(405, "invalid_request", "the method must be POST"), { allow: "POST" });
  }
  try {
    return await handle(c);
  } catch (error) {
    if (c.isAborted) return oauthError(400, "invalid_request", "the client disconnected");
    outages.report(error, { method: c.method, route: c.path.route });
    return error instanceof StoreUnavailable || error instanceof PlatformUnavailable
      ? oauthError(503, "temporarily_unavailable", "a required service is unavailable")
      : oauthError(500, "server_error", "internal error");
  }
}
