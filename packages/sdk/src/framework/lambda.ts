// AWS Lambda adapter, for API Gateway (payload formats 1.0 and 2.0), function URLs and load balancers. It wraps handlers.
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, warnOf, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationFields } from "../middleware/web-http.ts";

/** The parts of an event that the adapter reads; the types of `@types/aws-lambda` fit. */
export interface LambdaEvent {
  readonly headers?: Fields | null | undefined;
  /** All values of each header, in format 1.0 and from load balancers with multi-value headers. */
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null | undefined;
  readonly httpMethod?: string | undefined;
  readonly path?: string | undefined;
  readonly queryStringParameters?: Fields | null | undefined;
  /** All values of each parameter, in format 1.0 and from load balancers with multi-value headers. */
  readonly multiValueQueryStringParameters?: Readonly<Record<string, readonly string[] | undefined>> | null | undefined;
  readonly rawPath?: string | undefined;
  readonly rawQueryString?: string | undefined;
  readonly requestContext?:
    | { readonly stage?: string | undefined; readonly http?: { readonly method: string }; readonly elb?: unknown }
    | undefined;
}

type Fields = Readonly<Record<string, string | undefined>>;

/** A response in the form that both payload formats accept. */
export interface LambdaResult {
  readonly statusCode: number;
  readonly headers?: Record<string, string>;
  readonly multiValueHeaders?: Record<string, string[]>;
  readonly body: string;
}

/** Wraps a handler. */
export type LambdaMiddleware = <Event extends LambdaEvent, Rest extends unknown[], Result>(
  handler: (event: Event, ...rest: Rest) => Result | Promise<Result>,
) => (event: Event, ...rest: Rest) => Promise<Result | LambdaResult>;

/** Wraps a handler whose context has a `caller` in addition to the context of Lambda. */
export type LambdaGuard<C> = <Event extends LambdaEvent, Result, Context extends object = object>(
  handler: (event: Event, context: Context & { caller: C }) => Result | Promise<Result>,
) => (event: Event, context: Omit<Context, "caller">) => Promise<Result | LambdaResult>;

/**
 * Serves `{apiBasePath}/jwt/jwks.json` and the other endpoints of the recipe. Passes all other requests to the handler.
 *
 * @example
 * export const handler = middleware()(async () => ({ statusCode: 404, body: "" }));
 */
export function middleware(options: FrontOptions = {}): LambdaMiddleware {
  return (handler) =>
    async (event, ...rest) => {
      const request = readRequestOf(event);
      const answer = request && (await askFrontFor(options, request, originalsOf(event, request)));
      return answer === undefined ? handler(event, ...rest) : resultOf(event, answer);
    };
}

/**
 * Wraps a Lambda handler so that it requires a valid service token and gets `caller` in its context. Responds with 400,
 * 401, 403 or 503 otherwise (RFC 6750). Two Authorization headers are rejected, but a load balancer without multi-value
 * headers passes on only the last one.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * export const handler = verifyMicroservice()(async (event, { caller }) => ({ statusCode: 200, body: caller.service }));
 */
export function verifyMicroservice(options?: GuardOptions & { optional?: false | undefined }): LambdaGuard<Caller>;
export function verifyMicroservice(options: GuardOptions): LambdaGuard<Caller | undefined>;
export function verifyMicroservice(options: GuardOptions = {}): LambdaGuard<Caller> {
  const guard = createGuard(options);
  return (handler) => async (event, context) => {
    const outcome = await guard(authorizationFields(valuesOf(event, "authorization")), queryOf(event));
    if (!outcome.allowed) return resultOf(event, outcome.answer);
    // Lambda creates a context per event, so it can be changed. The overloads narrow the type of `caller`.
    return handler(event, Object.assign(context, { caller: outcome.caller }) as Parameters<typeof handler>[1]);
  };
}

/** Handles Countersign errors, such as an unreachable core, without exposing their message. Passes all other errors on. */
export function errorHandler(): LambdaMiddleware {
  return (handler) =>
    async (event, ...rest) => {
      try {
        return await handler(event, ...rest);
      } catch (error) {
        const answer = answerToError(error);
        if (answer === undefined) throw error;
        warnOf(error);
        return resultOf(event, answer);
      }
    };
}

/** Returns all values of a header, whose name can have upper-case letters. */
function valuesOf({ headers, multiValueHeaders }: LambdaEvent, name: string): string[] {
  const fields = Object.entries(multiValueHeaders ?? headers ?? {});
  return fields.flatMap(([own, value]) => (own.toLowerCase() === name ? (value ?? []) : []));
}

/** Returns the event as a Request if its method is GET or HEAD, because the recipe has no other endpoints. */
function readRequestOf(event: LambdaEvent): Request | undefined {
  const method = event.requestContext?.http?.method ?? event.httpMethod;
  if (method !== "GET" && method !== "HEAD") return undefined;
  const headers = new Headers();
  for (const name of Object.keys(event.multiValueHeaders ?? event.headers ?? {})) {
    for (const value of valuesOf(event, name.toLowerCase())) headers.append(name, value);
  }
  return new Request(`http://lambda.invalid${pathOf(event)}${queryOf(event)}`, { method, headers });
}

function originalsOf(event: LambdaEvent, request: Request): Parameters<typeof askFrontFor>[2] {
  return { request: event, response: undefined, path: new URL(request.url).pathname };
}

/** Returns the path without the stage. Format 2.0 adds it, also if a custom domain hides it from the client. */
function pathOf({ rawPath, path = "/", requestContext }: LambdaEvent): string {
  if (rawPath === undefined) return path;
  const stage = `/${requestContext?.stage}`;
  return rawPath === stage || rawPath.startsWith(`${stage}/`) ? rawPath.slice(stage.length) || "/" : rawPath;
}

function queryOf({ rawQueryString, requestContext, ...event }: LambdaEvent): string {
  const { multiValueQueryStringParameters, queryStringParameters } = event;
  // A load balancer passes parameters on as they were sent, a gateway decodes them.
  const isEncoded = requestContext?.elb !== undefined;
  const write = (text: string) => (isEncoded ? text : encodeURIComponent(text.toWellFormed()));
  const pairs = Object.entries(multiValueQueryStringParameters ?? queryStringParameters ?? {}).flatMap(
    ([name, values = ""]) => [values].flat().map((value) => `${write(name)}=${write(value)}`),
  );
  const query = rawQueryString ?? pairs.join("&");
  return query === "" ? "" : `?${query}`;
}

/** Returns headers in the form of the event, because a load balancer with multi-value headers expects that. */
function resultOf({ multiValueHeaders }: LambdaEvent, { status, headers, body }: Answer): LambdaResult {
  const entries = Object.entries(headers);
  return (multiValueHeaders ?? null) === null
    ? { statusCode: status, headers: Object.fromEntries(entries), body }
    : {
        statusCode: status,
        multiValueHeaders: Object.fromEntries(entries.map(([name, value]) => [name, [value]])),
        body,
      };
}
