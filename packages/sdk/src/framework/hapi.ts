// hapi adapter. It does not import hapi, whose requests contain those of node:http.
import type { Lifecycle, Plugin, ResponseObject, ResponseToolkit } from "@hapi/hapi";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf } from "../middleware/node-http.ts";

declare module "@hapi/hapi" {
  interface RequestApplicationState {
    /** The calling service, set by `verifyMicroservice`. */
    caller?: Caller | undefined;
  }
}

/**
 * Plugin that serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests on.
 *
 * @example
 * await server.register(middleware());
 */
export function middleware(options: FrontOptions = {}): Plugin<void> {
  return {
    name: "countersign",
    multiple: true, // one per instance
    register(server) {
      server.ext("onRequest", async (request, h) => {
        const answer = await askFrontFor(options, request.raw.req, { request, response: h });
        return answer === undefined ? h.continue : send(h, answer);
      });
    },
  };
}

/**
 * hapi lifecycle method that requires a valid service token and sets request.app.caller. Responds with 400, 401, 403 or
 * 503 otherwise (RFC 6750). As `onPreAuth`, it rejects before the body is read. Use it on one route, or on all routes with
 * `server.ext("onPreAuth", ...)`; it works together with `auth` of a route.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * server.route({
 *   method: "GET",
 *   path: "/stock/{item}",
 *   options: { ext: { onPreAuth: { method: verifyMicroservice() } } },
 *   handler: (request) => ({ calledBy: request.app.caller?.service }),
 * });
 */
export function verifyMicroservice(options: GuardOptions = {}): Lifecycle.Method {
  const guard = createGuard(options);
  return async (request, h) => {
    const outcome = await guard(authorizationOf(request.raw.req), request.raw.req.url);
    if (!outcome.allowed) return send(h, outcome.answer);
    request.app.caller = outcome.caller;
    return h.continue;
  };
}

/**
 * Handles Countersign errors, such as an unreachable core, without exposing their message. Passes all other errors on.
 *
 * @example
 * server.ext("onPreResponse", errorHandler());
 */
export function errorHandler(): Lifecycle.Method {
  return (request, h) => {
    const answer = answerToError(request.response);
    if (answer === undefined) return h.continue;
    request.log(["error", "countersign"], request.response as Error);
    return send(h, answer);
  };
}

/** Responds and skips all later steps of the request. */
function send(h: ResponseToolkit, { status, headers, body }: Answer): ResponseObject {
  const response = h.response(body).code(status).takeover();
  for (const name in headers) response.header(name, headers[name]!);
  return response;
}
