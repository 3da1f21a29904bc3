// For whatever takes a Request and gives a Response: Next.js route handlers, Bun, Deno, workers. A handler goes in, a
// handler comes out.
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, warnOf, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf } from "../middleware/web-http.ts";

/** Makes a handler of a handler. What comes after the request is the platform's own, such as Next.js' `{ params }`. */
export type WebMiddleware = <Args extends [Request, ...unknown[]]>(
  handler: (...args: Args) => Response | Promise<Response>,
) => (...args: Args) => Promise<Response>;

/** Makes a handler of one whose context has a `caller` beside what the platform gives. */
export type WebGuard<C> = <Context extends object = object, Req extends Request = Request>(
  handler: (request: Req, context: Context & { caller: C }) => Response | Promise<Response>,
) => (request: Req, context?: Omit<Context, "caller">) => Promise<Response>;

/**
 * Serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes to the handler.
 *
 * @example
 * export const GET = middleware()(() => new Response(null, { status: 404 })); // app/auth/[...path]/route.ts
 */
export function middleware(options: FrontOptions = {}): WebMiddleware {
  return (handler) =>
    async (...args) => {
      const answer = await askFrontFor(options, args[0]);
      return answer === undefined ? handler(...args) : responseOf(answer);
    };
}

/**
 * Makes a handler of one that runs only for requests with a good Bearer token of a service, and finds the caller in its
 * second argument; all others are answered 400, 401, 403 or 503 (RFC 6750). Of two Authorization headers Next.js shows
 * the first and hides the other; where both are seen, they are refused.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * export const GET = verifyMicroservice()((request, { caller }) => Response.json({ askedBy: caller.service }));
 */
export function verifyMicroservice(options?: GuardOptions & { optional?: false | undefined }): WebGuard<Caller>;
export function verifyMicroservice(options: GuardOptions): WebGuard<Caller | undefined>;
export function verifyMicroservice(options: GuardOptions = {}): WebGuard<Caller> {
  const guard = createGuard(options);
  return (handler) => async (request, context) => {
    const outcome = await guard(authorizationOf(request.headers), request.url);
    if (!outcome.allowed) return responseOf(outcome.answer);
    // What `caller` may be is what the overloads say; the rest of the context is the platform's.
    return handler(request, { ...context, caller: outcome.caller } as Parameters<typeof handler>[1]);
  };
}

/** Answers this package's own errors, such as a core that cannot be reached, without telling their text; others go on. */
export function errorHandler(): WebMiddleware {
  return (handler) =>
    async (...args) => {
      try {
        return await handler(...args);
      } catch (error) {
        const answer = answerToError(error);
        if (answer === undefined) throw error;
        warnOf(error);
        return responseOf(answer);
      }
    };
}

function responseOf({ status, headers, body }: Answer): Response {
  return new Response(body, { status, headers });
}
