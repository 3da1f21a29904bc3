// HTTP as a Lambda function receives it, according to AWS's description of the payload formats.
import type { IncomingMessage, RequestListener } from "node:http";
import type { LambdaEvent } from "../../src/framework/lambda.ts";
import { readBody } from "./http.ts";

export type PayloadFormat = "1.0" | "2.0" | "load balancer";

/** The event that a handler receives: the part of @types/aws-lambda that the tests need. */
export interface GatewayEvent extends LambdaEvent {
  readonly body: string | null;
}

interface Result {
  statusCode: number;
  headers?: Readonly<Record<string, string>>;
  multiValueHeaders?: Readonly<Record<string, readonly string[]>>;
  body?: string;
}

type Handler = (event: GatewayEvent, context: { awsRequestId: string }) => Promise<Result>;

/** Gateways respond with 502 to an error of the handler; here it is 500, as the suite expects. */
export function gatewayBefore(handler: Handler, format: PayloadFormat): RequestListener {
  return (req, res) => {
    void (async () => {
      const body = await readBody(req);
      const event = { ...(format === "2.0" ? eventOfFormat2(req) : eventOfFormat1(req, format)), body };
      try {
        const result = await handler(event, { awsRequestId: "1" });
        if (format === "load balancer" && result.multiValueHeaders === undefined) throw new Error("malformed result");
        res.writeHead(result.statusCode, { ...result.headers, ...(result.multiValueHeaders as object) });
        res.end(result.body);
      } catch {
        res.writeHead(500).end('{"message":"Internal server error"}');
      }
    })();
  };
}

function eventOfFormat1(req: IncomingMessage, format: PayloadFormat): LambdaEvent {
  const { pathname, search, searchParams } = new URL(req.url!, "http://a");
  const raw = Object.fromEntries(
    search
      .slice(1)
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => pair.split("=", 2) as [string, string]),
  );
  const ofGateway = { stage: "prod" };
  const multiValueHeaders = req.headersDistinct;
  return {
    httpMethod: req.method!,
    path: pathname,
    ...(format === "1.0" && { headers: lastValues(multiValueHeaders) }),
    multiValueHeaders,
    queryStringParameters: format === "1.0" ? Object.fromEntries(searchParams) : raw,
    requestContext: format === "1.0" ? ofGateway : { elb: { targetGroupArn: "arn" } },
  };
}

function eventOfFormat2(req: IncomingMessage): LambdaEvent {
  const { pathname, search } = new URL(req.url!, "http://a");
  const joined = Object.entries(req.headersDistinct).map(([name, values]) => [name, values!.join(",")]);
  return {
    rawPath: `/prod${pathname}`,
    rawQueryString: search.slice(1),
    headers: Object.fromEntries(joined) as Record<string, string>,
    requestContext: { stage: "prod", http: { method: req.method! } },
  };
}

function lastValues(headers: NodeJS.Dict<string[]>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values!.at(-1)!]));
}
