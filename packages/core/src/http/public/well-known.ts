import type { Context } from "hono";
import { PATHS } from "countersign/protocol";
import type { Env, UseCases } from "../request/use-cases.ts";
import { refuseText } from "../request/responses.ts";
import { allowsStaleWhileRevalidate } from "../../domain/keys/rotation.ts";
import type { PublishedSets } from "../../state/instance-state.ts";

/** The documents everybody may read. */
export interface PublicRoute {
  readonly path: string;
  handle(c: Context<Env>): Response | Promise<Response>;
}

/** A revocation must reach everybody soon, so nothing keeps it for long, and nobody serves an old one. */
const FEED_CACHE_CONTROL = "max-age=10, public";

export function wellKnownRoutes({ state, publishFeed, config }: UseCases): readonly PublicRoute[] {
  // `max-age` stands first: one existing client reads it only there.
  const maxAge = Math.floor(config.rotation.jwksMaxAge / 1000);
  const revalidate = allowsStaleWhileRevalidate(config.rotation) ? `stale-while-revalidate=${maxAge}, ` : "";
  const cacheControl = `max-age=${maxAge}, public, ${revalidate}stale-if-error=86400`;

  const serve = (which: keyof PublishedSets) => (c: Context<Env>) => {
    const { body, etag } = state.publishedSets(c.get("path").appId)![which];
    const headers = { "cache-control": cacheControl, etag, "access-control-allow-origin": "*" };
    if (matches(c.req.header("if-none-match"), etag)) return c.body(null, 304, headers);
    return c.body(body, 200, { ...headers, "content-type": "application/json; charset=utf-8" });
  };

  return [
    { path: PATHS.jwks, handle: serve("rsa") },
    { path: PATHS.jwksAll, handle: serve("all") },
    {
      path: PATHS.revocations,
      handle: async (c) => {
        const feed = await publishFeed(c.get("path").appId);
        if (feed === undefined) return refuseText(c, 503, "Service Unavailable");
        const headers = { "cache-control": FEED_CACHE_CONTROL, etag: feed.etag, "access-control-allow-origin": "*" };
        if (matches(c.req.header("if-none-match"), feed.etag)) return c.body(null, 304, headers);
        return c.body(feed.body, 200, { ...headers, "content-type": "application/jwt" });
      },
    },
  ];
}

/** RFC 9110 section 13.1.2: a list, or `*`; compared weakly. */
function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(",").some((one) => ["*", etag, `W/${etag}`].includes(one.trim()));
}
