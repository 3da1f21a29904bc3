// Fastify adapter. It does not import Fastify, whose requests contain those of node:http.
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, presentable, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationOf, type NodeRequest } from "../middleware/node-http.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The calling service, set by `verifyMicroservice`. */
    caller?: Caller | undefined;
  }
}

/** The parts of Fastify's types that the adapter uses, so that apps with any server, logger and type provider fit. */
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
 * Plugin that serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests on.
 *
 * @example
 * await app.register(middleware());
 */
export function middleware(options: FrontOptions = {}): FastifyFront {
  const plugin: FastifyFront = (app, _options, done) => {
    // Before routing, because the paths are only known after `init`, which can run later.
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
  // As fastify-plugin does: the hook applies to the whole app, not to an encapsulated context.
  return Object.assign(plugin, { [Symbol.for("skip-override")]: true });
}

/**
 * Fastify hook that requires a valid service token and sets request.caller. Responds with 400, 401, 403 or 503 otherwise
 * (RFC 6750). As `onRequest`, it rejects before the body is read.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.get("/stock/:item", { onRequest: verifyMicroservice() }, async (request) => ({ calledBy: request.caller?.service }));
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
 * Handles Countersign errors, such as an unreachable core, without exposing their message. Passes all other errors on.
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
