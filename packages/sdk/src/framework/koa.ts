// Koa adapter. It does not import Koa, whose contexts contain the objects of node:http.
import type { Context, Middleware } from "koa";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, presentable, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf } from "../middleware/node-http.ts";

declare module "koa" {
  interface DefaultState {
    /** The calling service, set by `verifyMicroservice`. */
    caller?: Caller | undefined;
  }
}

/**
 * Serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests on.
 *
 * @example
 * app.use(middleware());
 */
export function middleware(options: FrontOptions = {}): Middleware {
  return (ctx, next) => {
    const asked = askFrontFor(options, ctx.req, { request: ctx, response: ctx, url: ctx.originalUrl });
    return asked === undefined
      ? next()
      : asked.then((answer) => (answer === undefined ? next() : send(ctx, answer)), failed);
  };
}

/**
 * Koa middleware that requires a valid service token and sets ctx.state.caller. Responds with 400, 401, 403 or 503 otherwise
 * (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.use(verifyMicroservice());
 * app.use((ctx) => (ctx.body = { calledBy: ctx.state.caller?.service }));
 */
export function verifyMicroservice(options: GuardOptions = {}): Middleware {
  const guard = createGuard(options);
  return (ctx, next) =>
    guard(authorizationOf(ctx.req), ctx.req.url).then((outcome) => {
      if (!outcome.allowed) return send(ctx, outcome.answer);
      ctx.state.caller = outcome.caller;
      return next();
    }, failed);
}

/**
 * Handles Countersign errors, such as an unreachable core, without exposing their message. Passes all other errors on.
 *
 * @example
 * app.use(errorHandler()); // before all other middleware
 */
export function errorHandler(): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const answer = answerToError(error);
      if (answer === undefined || ctx.headerSent) throw error;
      ctx.app.emit("error", error, ctx);
      send(ctx, answer);
    }
  };
}

function send(ctx: Context, { status, headers, body }: Answer): void {
  ctx.status = status;
  ctx.set(headers);
  ctx.body = body;
}

function failed(error: unknown): never {
  throw presentable(error);
}
