// Translates between Express and the parts that decide. Express is not imported: its objects are node:http's.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Countersign } from "../countersign.ts";
import { defaultInstance } from "../default-instance.ts";
import { createGuard, type GuardOptions } from "../guard.ts";
import type { Caller } from "../protocol/decision.ts";
import { CountersignError } from "../protocol/errors.ts";

declare global {
  // How Express's own types are extended.
  namespace Express {
    interface Request {
      /** The service that called, put there by `verifyMicroservice`. */
      caller?: Caller;
    }
  }
}

export type ExpressRequest = IncomingMessage & { originalUrl?: string; caller?: Caller };
export type ExpressNext = (error?: unknown) => void;
export type ExpressMiddleware = (req: ExpressRequest, res: ServerResponse, next: ExpressNext) => void;
export type ExpressErrorHandler = (error: unknown, req: ExpressRequest, res: ServerResponse, next: ExpressNext) => void;

/**
 * Serves the front interface (`{apiBasePath}/jwt/jwks.json` and its neighbours); everything else goes on.
 *
 * @param options.countersign the instance to serve; default: the one `init` made
 */
export function middleware(options: { countersign?: Countersign } = {}): ExpressMiddleware {
  return (req, res, next) => {
    serveFront(options.countersign ?? defaultInstance(), req, res)
      .then((served) => {
        if (!served) next();
      })
      .catch(next);
  };
}

/**
 * Lets a request through if its Bearer token is a good one of a service, and puts the caller on `req.caller`;
 * answers 400, 401, 403 or 503 otherwise (RFC 6750).
 *
 * @throws CountersignError `invalid_option`
 * @example
 * app.get("/stock/:item", verifyMicroservice(), (req, res) => res.json({ askedBy: req.caller?.service }));
 */
export function verifyMicroservice(options: GuardOptions = {}): ExpressMiddleware {
  const guard = createGuard(options);
  return (req, res, next) => {
    guard(authorizationOf(req))
      .then((outcome) => {
        if (outcome.allowed) {
          if (outcome.caller !== undefined) req.caller = outcome.caller;
          return next();
        }
        const { status, headers, body } = outcome.answer;
        return send(res, status, Object.entries(headers), body);
      })
      .catch(next);
  };
}

/** Answers this package's own errors, such as a core that cannot be reached, without telling their text; others go on. */
export function errorHandler(): ExpressErrorHandler {
  return (error, _req, res, next) => {
    if (!(error instanceof Error) || error.name !== CountersignError.name || res.headersSent) return next(error);
    const { code, status = 0 } = error as CountersignError;
    const unreachable = code === "core_unreachable" || (code === "core_refused" && status >= 500);
    const message = unreachable ? "Service Unavailable" : "Internal Server Error";
    send(
      res,
      unreachable ? 503 : 500,
      [["content-type", "application/json; charset=utf-8"]],
      JSON.stringify({ message }),
    );
  };
}

/** All of them: two are refused. The objects of node:http2 have no undivided headers, but keep a doubled one apart too. */
function authorizationOf(req: ExpressRequest): readonly string[] {
  const distinct = (req as Partial<IncomingMessage>).headersDistinct;
  return distinct === undefined ? [req.headers.authorization ?? []].flat() : (distinct["authorization"] ?? []);
}

async function serveFront(
  countersign: Countersign | undefined,
  req: ExpressRequest,
  res: ServerResponse,
): Promise<boolean> {
  if (countersign === undefined) {
    throw new CountersignError("not_initialised", "middleware: call init before the first request");
  }
  // Express takes mount paths off `url`; the front interface is named by the whole path.
  const url = req.originalUrl ?? req.url ?? "/";
  const [path = "", query = ""] = url.split("?", 2);
  const answer = await countersign.front.handle({
    path,
    originalResponse: res,
    request: {
      original: req,
      getMethod: () => req.method ?? "GET",
      getOriginalURL: () => url,
      getHeaderValue: (name) => [req.headers[name.toLowerCase()]].flat()[0],
      getKeyValueFromQuery: (name) => new URLSearchParams(query).get(name) ?? undefined,
    },
  });
  if (answer === undefined) return false;
  send(res, answer.status, answer.headers, answer.body);
  return true;
}

function send(res: ServerResponse, status: number, headers: Iterable<readonly [string, string]>, body: string): void {
  res.statusCode = status;
  for (const [name, value] of headers) res.setHeader(name, value);
  res.end(body); // node:http leaves the body out of an answer to HEAD
}
