// Translates between NestJS, on Express or on Fastify, and the parts that decide.
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

/** Serves the front interface: on both platforms, what `app.use` takes is Express's. */
export { middleware } from "./express.ts";

/** Express's request is node:http's own, Fastify's carries it. */
type NestRequest = NodeRequest & { readonly raw?: NodeRequest; caller?: Caller | undefined };

/** What the answers of both platforms have in common, but for how they say that they are on their way. */
interface NestResponse {
  readonly headersSent?: boolean;
  readonly sent?: boolean;
  status(code: number): unknown;
  header(name: string, value: string): unknown;
  send(body: string): unknown;
}

/**
 * A guard that lets a request through if its Bearer token is a good one of a service; the handler finds it with
 * `@CurrentCaller()`. Throws an HttpException with 400, 401, 403 or 503 otherwise (RFC 6750), the challenge set.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * @UseGuards(verifyMicroservice())
 * @Get("stock/:item")
 * stock(@CurrentCaller() caller: Caller) {
 *   return { askedBy: caller.service };
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

/** The service that called; undefined on `optional` routes that nobody of ours called. On a route without guard, an error. */
export const CurrentCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller | undefined => {
  const request = requestOf(context);
  if (!("caller" in request)) {
    throw new CountersignError("invalid_argument", "@CurrentCaller: no verifyMicroservice guards this route");
  }
  return request.caller;
});

/**
 * Answers this package's own errors, such as a core that cannot be reached, without telling their text; others go on.
 *
 * @example
 * app.useGlobalFilters(errorHandler());
 */
export function errorHandler(): ExceptionFilter<Error> {
  return new OwnErrors();
}

class OwnErrors implements ExceptionFilter<Error> {
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
Catch(CountersignError, CountersignFailure)(OwnErrors);

function requestOf(context: ExecutionContext): NestRequest {
  if (context.getType() === "http") return context.switchToHttp().getRequest<NestRequest>();
  throw new CountersignError("invalid_argument", "verifyMicroservice guards HTTP routes; use createVerifier elsewhere");
}

function setHeaders(response: NestResponse, { headers }: Pick<Answer, "headers">): void {
  for (const name in headers) response.header(name, headers[name]!);
}
