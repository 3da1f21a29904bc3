// Express adapter. It does not import Express, whose objects are those of node:http.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, presentable, warnOf, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf, send } from "../middleware/node-http.ts";

declare global {
  // @types/express reads extensions from this namespace.
  namespace Express {
    interface Request {
      /** The calling service, set by `verifyMicroservice`. */
      caller?: Caller | undefined;
    }
  }
}

export type ExpressRequest = IncomingMessage & { originalUrl?: string; caller?: Caller | undefined };
export type ExpressNext = (error?: unknown) => void;
export type ExpressMiddleware = (req: ExpressRequest, res: ServerResponse, next: ExpressNext) => void;
export type ExpressErrorHandler = (error: unknown, req: ExpressRequest, res: ServerResponse, next: ExpressNext) => void;

/**
 * Serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests on.
 *
 * @example
 * app.use(middleware());
 */
export function middleware(options: FrontOptions = {}): ExpressMiddleware {
  return (req, res, next) => {
    const asked = askFrontFor(options, req, { request: req, response: res });
    if (asked === undefined) return next();
    asked
      .then((answer) => (answer === undefined ? next() : send(res, answer)))
      .catch((error: unknown) => next(presentable(error)));
  };
}

/**
 * Express middleware that requires a valid service token and sets req.caller. Responds with 400, 401, 403 or 503 otherwise
 * (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.get("/stock/:item", verifyMicroservice(), (req, res) => res.json({ calledBy: req.caller?.service }));
 */
export function verifyMicroservice(options: GuardOptions = {}): ExpressMiddleware {
  const guard = createGuard(options);
  return (req, res, next) => {
    guard(authorizationOf(req), req.url)
      .then((outcome) => {
        if (!outcome.allowed) return send(res, outcome.answer);
        req.caller = outcome.caller;
        next();
      })
      .catch((error: unknown) => next(presentable(error)));
  };
}

/** Handles Countersign errors, such as an unreachable core, without exposing their message. Passes all other errors on. */
export function errorHandler(): ExpressErrorHandler {
  return (error, _req, res, next) => {
    const answer = res.headersSent ? undefined : answerToError(error);
    if (answer === undefined) return next(error);
    warnOf(error);
    send(res, answer);
  };
}
