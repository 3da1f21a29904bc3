// For servers of plain node:http: a handler goes in, a handler comes out.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, answerWith, warnOf, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf, send, type NodeRequest, type NodeResponse } from "../middleware/node-http.ts";

/** Takes and gives handlers of node:http, or of node:http2 where those are expected. */
export type NodeMiddleware = <Req extends NodeRequest = IncomingMessage, Res extends NodeResponse = ServerResponse>(
  handler: (req: Req, res: Res) => unknown,
) => (req: Req, res: Res) => void;

/** Makes a handler of one whose requests have a `caller`. */
export type NodeGuard<C> = <Req extends NodeRequest = IncomingMessage, Res extends NodeResponse = ServerResponse>(
  handler: (req: Req & { caller: C }, res: Res) => unknown,
) => (req: Req, res: Res) => void;

/**
 * Serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes to the handler.
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
 * Makes a handler of one that runs only for requests with a good Bearer token of a service, and finds the caller on
 * `req.caller`; all others are answered 400, 401, 403 or 503 (RFC 6750).
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
        // What `caller` may be is what the overloads say.
        return handler(Object.assign(req, { caller: outcome.caller as Caller }), res);
      },
      (error: unknown) => fail(res, error),
    );
  };
}

/** There is no framework that would answer, nor one that would tell anybody. What a handler throws stays its own. */
function fail(res: NodeResponse, error: unknown): void {
  warnOf(error);
  send(res, answerToError(error) ?? answerWith(500));
}
