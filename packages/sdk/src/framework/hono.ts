// Translates between Hono and the parts that decide. Hono is not imported: its contexts carry the platform's Request.
import type { Context, ErrorHandler, MiddlewareHandler } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, warnOf, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf } from "../middleware/web-http.ts";

/** What handlers behind the guard find: `c.var.caller`, or `c.get("caller")`. */
export type HonoGuard<C> = MiddlewareHandler<{ Variables: { caller: C } }>;

/**
 * Serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes on.
 *
 * @example
 * app.use(middleware());
 */
export function middleware(options: FrontOptions = {}): MiddlewareHandler {
  return async (c, next) => {
    const asked = askFrontFor(options, c.req.raw, { request: c, response: c, path: c.req.path });
    const answer = asked && (await asked);
    return answer === undefined ? next() : send(c, answer);
  };
}

/**
 * Lets a request through if its Bearer token is a good one of a service, and sets the variable `caller`; answers
 * 400, 401, 403 or 503 otherwise (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.get("/stock/:item", verifyMicroservice(), (c) => c.json({ askedBy: c.var.caller.service }));
 */
export function verifyMicroservice(options?: GuardOptions & { optional?: false | undefined }): HonoGuard<Caller>;
export function verifyMicroservice(options: GuardOptions): HonoGuard<Caller | undefined>;
export function verifyMicroservice(options: GuardOptions = {}): MiddlewareHandler {
  const guard = createGuard(options);
  return async (c, next) => {
    const outcome = await guard(authorizationOf(c.req.raw.headers), c.req.url);
    if (!outcome.allowed) return send(c, outcome.answer);
    c.set("caller", outcome.caller); // what it may be is what the overloads say
    return next();
  };
}

/**
 * Answers this package's own errors, such as a core that cannot be reached, without telling their text; others are
 * answered as Hono does it without an error handler.
 *
 * @example
 * app.onError(errorHandler());
 */
export function errorHandler(): ErrorHandler {
  return (error, c) => {
    const answer = answerToError(error);
    if (answer !== undefined) {
      warnOf(error);
      return send(c, answer);
    }
    if ("getResponse" in error) return error.getResponse();
    console.error(error);
    return c.text("Internal Server Error", 500);
  };
}

function send(c: Context, { status, headers, body }: Answer): Response {
  return c.body(body, status as ContentfulStatusCode, headers);
}
