import { PATHS } from "countersign/protocol";
import { allowsStaleWhileRevalidate } from "../../domain/keys/rotation.ts";
import type { PublishedSets } from "../../state/instance-state.ts";
import type { HttpContext } from "../request/http-context.ts";
import { textResponse, type CoreResponse } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";

/** A public document; its method is GET. */
export interface PublicRoute {
  readonly path: string;
  handle(c: HttpContext): CoreResponse | Promise<CoreResponse>;
}

/** Revocations must reach every verifier soon, so caches keep the feed for 10 s and never serve a stale one. */
const FEED_CACHE_CONTROL = "max-age=10, public";

export function wellKnownRoutes({ state, publishFeed, config }: UseCases): readonly PublicRoute[] {
  // One existing client reads `max-age` only at the start of the header.
  const maxAge = Math.floor(config.rotation.jwksMaxAge / 1000);
  const revalidate = allowsStaleWhileRevalidate(config.rotation) ? `stale-while-revalidate=${maxAge}, ` : "";
  const cacheControl = `max-age=${maxAge}, public, ${revalidate}stale-if-error=86400`;

  const serve = (which: keyof PublishedSets) => (c: HttpContext) =>
    documentResponse(c, state.publishedSets(c.path.appId)![which], "application/json; charset=utf-8", cacheControl);

  return [
    { path: PATHS.jwks, handle: serve("rsa") },
    { path: PATHS.jwksAll, handle: serve("all") },
    {
      path: PATHS.revocations,
      handle: async (c) => {
        const feed = await publishFeed(c.path.appId);
        if (feed === undefined) return textResponse(503, "Service Unavailable");
        return documentResponse(c, feed, "application/jwt", FEED_CACHE_CONTROL);
      },
    },
  ];
}

function documentResponse(
  c: HttpContext,
  { body, etag }: { readonly body: string; readonly etag: string },
  contentType: string,
  cacheControl: string,
): CoreResponse {
  const headers = { "cache-control": cacheControl, etag, "access-control-allow-origin": "*" };
  if (matches(c.header("if-none-match"), etag)) return { status: 304, headers, body: null };
  return { status: 200, headers: { ...headers, "content-type": contentType }, body };
}

/** RFC 9110 section 13.1.2: a list, or `*`; compared weakly. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(",").some((one) => ["*", etag, `W/${etag}`].includes(one.trim()));
}
