// Fetch API adapter, for handlers from Request to Response: Next.js route handlers, Bun, Deno, workers. It wraps handlers.
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, warnOf, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf } from "../middleware/web-http.ts";

/** Wraps a handler. Arguments after the request belong to the platform, such as the `{ params }` of Next.js. */
export type WebMiddleware = <Args extends [Request, ...unknown[]]>(
  handler: (...args: Args) => Response | Promise<Response>,
) => (...args: Args) => Promise<Response>;

/** Wraps a handler whose context has a `caller` in addition to the context of the platform. */
export type WebGuard<C> = <Context extends object = object, Req extends Request = Request>(
  handler: (request: Req, context: Context & { caller: C }) => Response | Promise<Response>,
) => (request: Req, context?: Omit<Context, "caller">) => Promise<Response>;

/**
 * Serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests to the handler.
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
 * Wraps a handler so that it requires a valid service token and gets `caller` in its second argument. Responds with 400,
 * 401, 403 or 503 otherwise (RFC 6750). Two Authorization headers are rejected, but Next.js passes on only the first one.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * export const GET = verifyMicroservice()((request, { caller }) => Response.json({ calledBy: caller.service }));
 */
export function verifyMicroservice(options?: GuardOptions & { optional?: false | undefined }): WebGuard<Caller>;
export function verifyMicroservice(options: GuardOptions): WebGuard<Caller | undefined>;
export function verifyMicroservice(options: GuardOptions = {}): WebGuard<Caller> {
  const guard = createGuard(options);
  return (handler) => async (request, context) => {
    const outcome = await guard(authorizationOf(request.headers), request.url);
    if (!outcome.allowed) return responseOf(outcome.answer);
    // The overloads narrow the type of `caller`; the rest of the context belongs to the platform.
    return handler(request, { ...context, caller: outcome.caller } as Parameters<typeof handler>[1]);
  };
}

/** Handles Countersign errors, such as an unreachable core, without exposing their message. Passes all other errors on. */
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
