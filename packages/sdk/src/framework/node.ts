// node:http adapter, for servers without a framework. It wraps handlers.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, answerWith, warnOf, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf, send, type NodeRequest, type NodeResponse } from "../middleware/node-http.ts";

/** Wraps a handler of node:http or node:http2. */
export type NodeMiddleware = <Req extends NodeRequest = IncomingMessage, Res extends NodeResponse = ServerResponse>(
  handler: (req: Req, res: Res) => unknown,
) => (req: Req, res: Res) => void;

/** Wraps a handler whose requests have a `caller`. */
export type NodeGuard<C> = <Req extends NodeRequest = IncomingMessage, Res extends NodeResponse = ServerResponse>(
  handler: (req: Req & { caller: C }, res: Res) => unknown,
) => (req: Req, res: Res) => void;

/**
 * Serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests to the handler.
 *
 * @example
 * createServer(middleware()(handler)).listen(4002);
 */
export function middleware(options: FrontOptions = {}): NodeMiddleware {
  return (handler) => (req, res) => {
    const asked = askFrontFor(options, req, { request: req, response: res });
    if (asked === undefined) return void handler(req, res);
    void asked.then(
      (answer) => (answer === undefined ? handler(req, res) : send(res, answer)),
      (error: unknown) => fail(res, error),
    );
  };
}

/**
 * Wraps a handler of node:http so that it requires a valid service token, and sets req.caller. Responds with 400, 401, 403
 * or 503 otherwise (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * createServer(verifyMicroservice()((req, res) => res.end(req.caller.service))).listen(4002);
 */
export function verifyMicroservice(options?: GuardOptions & { optional?: false | undefined }): NodeGuard<Caller>;
export function verifyMicroservice(options: GuardOptions): NodeGuard<Caller | undefined>;
export function verifyMicroservice(options: GuardOptions = {}): NodeGuard<Caller> {
  const guard = createGuard(options);
  return (handler) => (req, res) => {
    void guard(authorizationOf(req), req.url).then(
      (outcome) => {
        if (!outcome.allowed) return send(res, outcome.answer);
        // The overloads narrow the type of `caller`.
        return handler(Object.assign(req, { caller: outcome.caller as Caller }), res);
      },
      (error: unknown) => fail(res, error),
    );
  };
}

/** Responds to an error and emits a warning, because no framework does. Errors of the handler are not handled here. */
function fail(res: NodeResponse, error: unknown): void {
  warnOf(error);
  send(res, answerToError(error) ?? answerWith(500));
}
