// Translates between Express and the parts that decide. Express is not imported: its objects are node:http's.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, presentable, warnOf, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf, send } from "../middleware/node-http.ts";

declare global {
  // How Express's own types are extended.
  namespace Express {
    interface Request {
      /** The service that called, put there by `verifyMicroservice`. */
      caller?: Caller | undefined;
    }
  }
}

export type ExpressRequest = IncomingMessage & { originalUrl?: string; caller?: Caller | undefined };
export type ExpressNext = (error?: unknown) => void;
export type ExpressMiddleware = (req: ExpressRequest, res: ServerResponse, next: ExpressNext) => void;
export type ExpressErrorHandler = (error: unknown, req: ExpressRequest, res: ServerResponse, next: ExpressNext) => void;

/**
 * Serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes on.
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
 * Lets a request through if its Bearer token is a good one of a service, and puts the caller on `req.caller`;
 * answers 400, 401, 403 or 503 otherwise (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.get("/stock/:item", verifyMicroservice(), (req, res) => res.json({ askedBy: req.caller?.service }));
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

/** Answers this package's own errors, such as a core that cannot be reached, without telling their text; others go on. */
export function errorHandler(): ExpressErrorHandler {
  return (error, _req, res, next) => {
    const answer = res.headersSent ? undefined : answerToError(error);
    if (answer === undefined) return next(error);
    warnOf(error);
    send(res, answer);
  };
}
