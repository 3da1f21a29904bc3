// NestJS adapter, on Express or Fastify.
import {
  Catch,
  createParamDecorator,
  HttpException,
  Logger,
  type ArgumentsHost,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
} from "@nestjs/common";
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { CountersignError } from "../protocol/errors.ts";
import { answerToError, answerWith, CountersignFailure, type Answer } from "../middleware/responses.ts";
import { authorizationOf, type NodeRequest } from "../middleware/node-http.ts";

/** On both platforms, `app.use` takes Express middleware. */
export { middleware } from "./express.ts";

/** A request of Express is one of node:http; a request of Fastify contains one as `raw`. */
type NestRequest = NodeRequest & { readonly raw?: NodeRequest; caller?: Caller | undefined };

/** The common parts of both platforms' responses. Express has `headersSent`, Fastify `sent`. */
interface NestResponse {
  readonly headersSent?: boolean;
  readonly sent?: boolean;
  status(code: number): unknown;
  header(name: string, value: string): unknown;
  send(body: string): unknown;
}

/**
 * NestJS guard that requires a valid service token; `@CurrentCaller()` provides the caller to the handler. Otherwise sets
 * the challenge header and throws an HttpException with 400, 401, 403 or 503 (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * @UseGuards(verifyMicroservice())
 * @Get("stock/:item")
 * stock(@CurrentCaller() caller: Caller) {
 *   return { calledBy: caller.service };
 * }
 */
export function verifyMicroservice(options: GuardOptions = {}): CanActivate {
  const guard = createGuard(options);
  return {
    async canActivate(context: ExecutionContext) {
      const request = requestOf(context);
      const incoming = request.raw ?? request;
      const outcome = await guard(authorizationOf(incoming), incoming.url);
      if (outcome.allowed) {
        request.caller = outcome.caller;
        return true;
      }
      const { status, body } = outcome.answer;
      setHeaders(context.switchToHttp().getResponse(), outcome.answer);
      throw new HttpException(JSON.parse(body) as object, status);
    },
  };
}

/** The calling service; undefined on `optional` routes without a service token. Throws on a route without the guard. */
export const CurrentCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller | undefined => {
  const request = requestOf(context);
  if (!("caller" in request)) {
    throw new CountersignError("invalid_argument", "@CurrentCaller: this route has no verifyMicroservice guard");
  }
  return request.caller;
});

/**
 * Handles Countersign errors, such as an unreachable core, without exposing their message. Passes all other errors on.
 *
 * @example
 * app.useGlobalFilters(errorHandler());
 */
export function errorHandler(): ExceptionFilter<Error> {
  return new CountersignErrors();
}

class CountersignErrors implements ExceptionFilter<Error> {
  readonly #logger = new Logger("Countersign");

  catch(error: Error, host: ArgumentsHost): void {
    this.#logger.error(error);
    const response = host.switchToHttp().getResponse<NestResponse>();
    if (response.headersSent ?? response.sent) return;
    const answer = answerToError(error) ?? answerWith(500);
    response.status(answer.status);
    setHeaders(response, answer);
    response.send(answer.body);
  }
}
Catch(CountersignError, CountersignFailure)(CountersignErrors);

function requestOf(context: ExecutionContext): NestRequest {
  if (context.getType() === "http") return context.switchToHttp().getRequest<NestRequest>();
  throw new CountersignError(
    "invalid_argument",
    "verifyMicroservice: expected an HTTP route; use createVerifier for other transports",
  );
}

function setHeaders(response: NestResponse, { headers }: Pick<Answer, "headers">): void {
  for (const name in headers) response.header(name, headers[name]!);
}
