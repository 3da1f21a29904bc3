// Translates between Fastify and the parts that decide. Fastify is not imported: its requests carry node:http's.
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, presentable, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf, type NodeRequest } from "../middleware/node-http.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The service that called, put there by `verifyMicroservice`. */
    caller?: Caller | undefined;
  }
}

/** What is used of Fastify's own types, so that apps over any server, logger and type provider fit. */
interface Request {
  readonly raw: NodeRequest;
  caller?: Caller | undefined;
}

interface Reply {
  code(status: number): { headers(values: Record<string, string>): { send(body: string): unknown } };
}

export type FastifyHook = (request: Request, reply: Reply, done: (error?: Error) => void) => void;

export type FastifyFront = (
  app: { addHook(name: "onRequest", hook: FastifyHook): unknown },
  options: unknown,
  done: () => void,
) => void;

export type FastifyErrorHandler = (
  error: unknown,
  request: { readonly log: { error(error: unknown): void } },
  reply: Reply & { send(error: unknown): unknown },
) => void;

/**
 * A plugin that serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes on.
 *
 * @example
 * await app.register(middleware());
 */
export function middleware(options: FrontOptions = {}): FastifyFront {
  const plugin: FastifyFront = (app, _options, done) => {
    // Before routing would say 404: what is served may be known only after `init`, which may come later.
    app.addHook("onRequest", (request, reply, next) => {
      const asked = askFrontFor(options, request.raw, { request, response: reply });
      if (asked === undefined) return next();
      asked.then(
        (answer) => (answer === undefined ? next() : send(reply, answer)),
        (error: unknown) => next(presentable(error) as Error),
      );
    });
    done();
  };
  // Its hook is for the whole app, as with fastify-plugin, and not for a context of its own.
  return Object.assign(plugin, { [Symbol.for("skip-override")]: true });
}

/**
 * Lets a request through if its Bearer token is a good one of a service, and puts the caller on `request.caller`; answers
 * 400, 401, 403 or 503 otherwise (RFC 6750). A hook: as `onRequest` it refuses before a body is read.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.get("/stock/:item", { onRequest: verifyMicroservice() }, async (request) => ({ askedBy: request.caller?.service }));
 */
export function verifyMicroservice(options: GuardOptions = {}): FastifyHook {
  const guard = createGuard(options);
  return (request, reply, done) => {
    guard(authorizationOf(request.raw), request.raw.url).then(
      (outcome) => {
        if (!outcome.allowed) return send(reply, outcome.answer);
        request.caller = outcome.caller;
        done();
      },
      (error: unknown) => done(presentable(error) as Error),
    );
  };
}

/**
 * Answers this package's own errors, such as a core that cannot be reached, without telling their text; others go on.
 *
 * @example
 * app.setErrorHandler(errorHandler());
 */
export function errorHandler(): FastifyErrorHandler {
  return (error, request, reply) => {
    const answer = answerToError(error);
    if (answer === undefined) return void reply.send(error);
    request.log.error(error);
    send(reply, answer);
  };
}

function send(reply: Reply, { status, headers, body }: Answer): void {
  reply.code(status).headers(headers).send(body);
}
