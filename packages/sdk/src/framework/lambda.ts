// For AWS Lambda behind an API Gateway (payload formats 1.0 and 2.0), a function URL or a load balancer. A handler goes
// in, a handler comes out.
import { createGuard, type GuardOptions } from "../middleware/guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { answerToError, warnOf, type Answer, type FrontOptions } from "../middleware/responses.ts";
import { askFrontFor, authorizationFields } from "../middleware/web-http.ts";

/** What is read of an event; those of `@types/aws-lambda` fit. */
export interface LambdaEvent {
  readonly headers?: Fields | null | undefined;
  /** Formats 1.0 and load balancers that are set so: every value of every field. */
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null | undefined;
  readonly httpMethod?: string | undefined;
  readonly path?: string | undefined;
  readonly queryStringParameters?: Fields | null | undefined;
  /** The same, of format 1.0 and load balancers that are set so. */
  readonly multiValueQueryStringParameters?: Readonly<Record<string, readonly string[] | undefined>> | null | undefined;
  readonly rawPath?: string | undefined;
  readonly rawQueryString?: string | undefined;
  readonly requestContext?:
    | { readonly stage?: string | undefined; readonly http?: { readonly method: string }; readonly elb?: unknown }
    | undefined;
}

type Fields = Readonly<Record<string, string | undefined>>;

/** What this package answers with; both payload formats take it. */
export interface LambdaResult {
  readonly statusCode: number;
  readonly headers?: Record<string, string>;
  readonly multiValueHeaders?: Record<string, string[]>;
  readonly body: string;
}

/** Makes a handler of a handler. */
export type LambdaMiddleware = <Event extends LambdaEvent, Rest extends unknown[], Result>(
  handler: (event: Event, ...rest: Rest) => Result | Promise<Result>,
) => (event: Event, ...rest: Rest) => Promise<Result | LambdaResult>;

/** Makes a handler of one whose context has a `caller` beside what Lambda gives. */
export type LambdaGuard<C> = <Event extends LambdaEvent, Result, Context extends object = object>(
  handler: (event: Event, context: Context & { caller: C }) => Result | Promise<Result>,
) => (event: Event, context: Omit<Context, "caller">) => Promise<Result | LambdaResult>;

/**
 * Serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes to the handler.
 *
 * @example
 * export const handler = middleware()(async () => ({ statusCode: 404, body: "" }));
 */
export function middleware(options: FrontOptions = {}): LambdaMiddleware {
  return (handler) =>
    async (event, ...rest) => {
      const request = readingRequestOf(event);
      const answer = request && (await askFrontFor(options, request, originalsOf(event, request)));
      return answer === undefined ? handler(event, ...rest) : resultOf(event, answer);
    };
}

/**
 * Makes a handler of one that runs only for requests with a good Bearer token of a service, and finds the caller in its
 * context; all others are answered 400, 401, 403 or 503 (RFC 6750). A load balancer that is not set to send several
 * values of a header shows the last of two Authorization headers; where both are seen, they are refused.
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
    // Lambda makes a context for each event. What `caller` may be is what the overloads say.
    return handler(event, Object.assign(context, { caller: outcome.caller }) as Parameters<typeof handler>[1]);
  };
}

/** Answers this package's own errors, such as a core that cannot be reached, without telling their text; others go on. */
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

/** Every value of a field, in whatever letters its name is written. */
function valuesOf({ headers, multiValueHeaders }: LambdaEvent, name: string): string[] {
  const fields = Object.entries(multiValueHeaders ?? headers ?? {});
  return fields.flatMap(([own, value]) => (own.toLowerCase() === name ? (value ?? []) : []));
}

/** The event as a request, where it is one that only reads: the front interface has no others. */
function readingRequestOf(event: LambdaEvent): Request | undefined {
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

/** Without the stage, which format 2.0 writes before it: the client's own path, when a domain leads to the stage. */
function pathOf({ rawPath, path = "/", requestContext }: LambdaEvent): string {
  if (rawPath === undefined) return path;
  const stage = `/${requestContext?.stage}`;
  return rawPath === stage || rawPath.startsWith(`${stage}/`) ? rawPath.slice(stage.length) || "/" : rawPath;
}

function queryOf({ rawQueryString, requestContext, ...event }: LambdaEvent): string {
  const { multiValueQueryStringParameters, queryStringParameters } = event;
  // A load balancer gives the parts as they were sent, a gateway what they mean.
  const isSent = requestContext?.elb !== undefined;
  const write = (text: string) => (isSent ? text : encodeURIComponent(text.toWellFormed()));
  const pairs = Object.entries(multiValueQueryStringParameters ?? queryStringParameters ?? {}).flatMap(
    ([name, values = ""]) => [values].flat().map((value) => `${write(name)}=${write(value)}`),
  );
  const query = rawQueryString ?? pairs.join("&");
  return query === "" ? "" : `?${query}`;
}

/** A load balancer takes headers in the form in which it sends them. */
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
