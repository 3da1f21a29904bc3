// Translates between hapi and the parts that decide. hapi is not imported: its requests carry node:http's.
import type { Lifecycle, Plugin, ResponseObject, ResponseToolkit } from "@hapi/hapi";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf } from "../middleware/node-http.ts";

declare module "@hapi/hapi" {
  interface RequestApplicationState {
    /** The service that called, put there by `verifyMicroservice`. */
    caller?: Caller | undefined;
  }
}

/**
 * A plugin that serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes on.
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
        return answer === undefined ? h.continue : answered(h, answer);
      });
    },
  };
}

/**
 * Lets a request through if its Bearer token is a good one of a service, and puts the caller on `request.app.caller`;
 * answers 400, 401, 403 or 503 otherwise (RFC 6750). As `onPreAuth` it refuses before a body is read, on one route or,
 * with `server.ext("onPreAuth", ...)`, on all of them, and goes together with any `auth` of the route.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * server.route({
 *   method: "GET",
 *   path: "/stock/{item}",
 *   options: { ext: { onPreAuth: { method: verifyMicroservice() } } },
 *   handler: (request) => ({ askedBy: request.app.caller?.service }),
 * });
 */
export function verifyMicroservice(options: GuardOptions = {}): Lifecycle.Method {
  const guard = createGuard(options);
  return async (request, h) => {
    const outcome = await guard(authorizationOf(request.raw.req), request.raw.req.url);
    if (!outcome.allowed) return answered(h, outcome.answer);
    request.app.caller = outcome.caller;
    return h.continue;
  };
}

/**
 * Answers this package's own errors, such as a core that cannot be reached, without telling their text; others go on.
 *
 * @example
 * server.ext("onPreResponse", errorHandler());
 */
export function errorHandler(): Lifecycle.Method {
  return (request, h) => {
    const answer = answerToError(request.response);
    if (answer === undefined) return h.continue;
    request.log(["error", "countersign"], request.response as Error);
    return answered(h, answer);
  };
}

/** The end of the request's way: nothing after it runs. */
function answered(h: ResponseToolkit, { status, headers, body }: Answer): ResponseObject {
  const response = h.response(body).code(status).takeover();
  for (const name in headers) response.header(name, headers[name]!);
  return response;
}
