// AWS Lambda. Deploy `handler`. With PORT set, a node:http server replaces the gateway.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { errorHandler, middleware, verifyMicroservice, type LambdaEvent } from "countersign/framework/lambda";
import { port, stock } from "./inventory.ts";

const guarded = verifyMicroservice()(async ({ rawPath = "" }: LambdaEvent, { caller }) => {
  const item = rawPath.replace("/stock/", "");
  const body = JSON.stringify({ item, left: stock.get(item) ?? 0, caller: caller.service });
  return { statusCode: 200, headers: { "content-type": "application/json" }, body };
});

export const handler = errorHandler()(middleware()(guarded));

if (process.env["PORT"] !== undefined) {
  const gateway = createServer((req, res) => void answer(req, res)).listen(port, "127.0.0.1", () => {
    console.log(`inventory listening on http://127.0.0.1:${(gateway.address() as AddressInfo).port}`);
  });
}

async function answer({ method = "GET", url, headersDistinct }: IncomingMessage, res: ServerResponse): Promise<void> {
  const { pathname, search } = new URL(url!, "http://localhost");
  const headers = Object.entries(headersDistinct).map(([name, values]) => [name, values?.join(",")]);
  const event = {
    rawPath: pathname,
    rawQueryString: search.slice(1),
    headers: Object.fromEntries(headers) as Record<string, string>,
    requestContext: { http: { method } },
  };
  const { statusCode, headers: answered, body } = await handler(event, {});
  res.writeHead(statusCode, answered).end(body);
}
