import { expect, test } from "vitest";
import { errorHandler, middleware, verifyMicroservice } from "../../src/framework/lambda.ts";
import { describeFramework } from "../support/framework-suite.ts";
import { edKey, tokenBy } from "../support/keys.ts";
import { serveKeys } from "../support/key-server.ts";
import { gatewayBefore, type GatewayEvent } from "../support/lambda-gateway.ts";

for (const format of ["1.0", "2.0", "load balancer"] as const) {
  describeFramework(`AWS Lambda, ${format}`, ({ front, handlesErrors, guard, handle, own }) => {
    const answer = (statusCode: number, value: object) => ({
      statusCode,
      multiValueHeaders: { "content-type": ["application/json"] },
      body: JSON.stringify(value),
    });
    const stock = verifyMicroservice(guard ?? {})(async (event: GatewayEvent, { caller }) =>
      answer(200, handle(caller, event.body ? JSON.parse(event.body) : undefined)),
    );
    type Handler = Parameters<typeof gatewayBefore>[0];
    let handler: Handler = async (event, context) => {
      const path = event.path ?? event.rawPath!.replace(/^\/prod/, "");
      if (path === "/stock") return stock(event, context);
      return path === "/own" ? answer(200, own()) : answer(404, {});
    };
    if (front !== undefined) handler = middleware(front)(handler);
    if (handlesErrors === true) handler = errorHandler()(handler);
    return gatewayBefore(handler, format);
  });
}

test("H1 two Authorization headers of an event are rejected, in any case of letters", async () => {
  const key = edKey();
  const { jwksUri } = await serveKeys(key);
  const handler = verifyMicroservice({ jwksUri })(async () => ({ statusCode: 200, body: "" }));
  const now = Math.floor(Date.now() / 1000);
  const good = `Bearer ${tokenBy(key, { iat: now, exp: now + 60 })}`;
  const statusOf = async (headers: Record<string, string> | null) => (await handler({ headers }, {})).statusCode;
  expect(await statusOf({ AUTHORIZATION: good })).toBe(200);
  expect(await statusOf({ Authorization: good, authorization: "Bearer x" })).toBe(400);
  expect(await statusOf({ authorization: `${good},${good}` })).toBe(400);
  expect(await statusOf({ "x-authorization": good })).toBe(401);
  expect(await statusOf(null)).toBe(401);
});

test("H3 a token in the query of an event, in any form, is one too many next to a header", async () => {
  const key = edKey();
  const { jwksUri } = await serveKeys(key);
  const handler = verifyMicroservice({ jwksUri })(async () => ({ statusCode: 200, body: "" }));
  const now = Math.floor(Date.now() / 1000);
  const headers = { authorization: `Bearer ${tokenBy(key, { iat: now, exp: now + 60 })}` };
  const statusOf = async (event: object) => (await handler({ headers, ...event }, {})).statusCode;
  expect(await statusOf({})).toBe(200);
  expect(await statusOf({ queryStringParameters: { page: "access_token", "\ud800": "\ud800" } })).toBe(200);
  const [elb, value] = [{ requestContext: { elb: {} } }, "x"];
  for (const event of [
    { rawQueryString: "a=b&access_token=x" },
    { queryStringParameters: { access_token: value } },
    { queryStringParameters: { access_token: value }, ...elb },
    { multiValueQueryStringParameters: { access_token: [value] } },
    { queryStringParameters: {}, multiValueQueryStringParameters: { a: ["b"], access_token: ["", value] }, ...elb },
  ]) {
    expect(await statusOf(event), JSON.stringify(event)).toBe(400);
  }
});

test("the context is that of Lambda, with the caller", async () => {
  const key = edKey();
  const { jwksUri } = await serveKeys(key);
  const now = Math.floor(Date.now() / 1000);
  const headers = { authorization: `Bearer ${tokenBy(key, { iat: now, exp: now + 60 })}` };
  const handler = verifyMicroservice({ jwksUri })(
    async (_event: GatewayEvent, context: { awsRequestId: string; caller: { service: string | undefined } }) => ({
      statusCode: 200,
      body: `${context.awsRequestId} ${context.caller.service}`,
    }),
  );
  expect(await handler({ headers, body: null }, { awsRequestId: "7" })).toEqual({ statusCode: 200, body: "7 orders" });
});
