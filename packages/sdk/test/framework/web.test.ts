import { getRequestListener } from "@hono/node-server";
import { errorHandler, middleware, verifyMicroservice } from "../../src/framework/web.ts";
import { describeFramework } from "../support/framework-suite.ts";

describeFramework("any Request -> Response", ({ front, handlesErrors, guard, handle, own }) => {
  const stock = verifyMicroservice(guard ?? {})(async (request, { caller }) => {
    const body: unknown = request.method === "POST" ? await request.json() : undefined;
    return Response.json(handle(caller, body));
  });
  let handler = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (pathname === "/stock") return stock(request);
    return pathname === "/own" ? Response.json(own()) : new Response(null, { status: 404 });
  };
  if (front !== undefined) handler = middleware(front)(handler);
  if (handlesErrors === true) handler = errorHandler()(handler);
  const listener = getRequestListener(handler);
  return (req, res) => void listener(req, res);
});
