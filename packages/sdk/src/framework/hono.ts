// Hono adapter. It does not import Hono, whose contexts contain the Request of the platform.
import type { Context, ErrorHandler, MiddlewareHandler } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, warnOf, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf } from "../middleware/web-http.ts";

/** Sets the variable `caller` for handlers: `c.var.caller` or `c.get("caller")`. */
export type HonoGuard<C> = MiddlewareHandler<{ Variables: { caller: C } }>;

/**
 * Serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests on.
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
 * Hono middleware that requires a valid service token and sets c.var.caller. Responds with 400, 401, 403 or 503 otherwise
 * (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.get("/stock/:item", verifyMicroservice(), (c) => c.json({ calledBy: c.var.caller.service }));
 */
export function verifyMicroservice(options?: GuardOptions & { optional?: false | undefined }): HonoGuard<Caller>;
export function verifyMicroservice(options: GuardOptions): HonoGuard<Caller | undefined>;
export function verifyMicroservice(options: GuardOptions = {}): MiddlewareHandler {
  const guard = createGuard(options);
  return async (c, next) => {
    const outcome = await guard(authorizationOf(c.req.raw.headers), c.req.url);
    if (!outcome.allowed) return send(c, outcome.answer);
    c.set("caller", outcome.caller); // the overloads narrow its type
    return next();
  };
}

/**
 * Handles Countersign errors, such as an unreachable core, without exposing their message. Handles all other errors as Hono
 * does without an error handler.
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
