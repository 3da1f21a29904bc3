import { server as createServer, type Request } from "@hapi/hapi";
import { middleware, errorHandler, verifyMicroservice } from "../../src/framework/hapi.ts";
import { describeFramework } from "../support/framework-suite.ts";

describeFramework("hapi", async ({ front, handlesErrors, guard, handle, own }) => {
  const server = createServer({ debug: false });
  if (front !== undefined) await server.register(middleware(front));
  if (handlesErrors === true) server.ext("onPreResponse", errorHandler());
  if (guard !== undefined) {
    const options = { ext: { onPreAuth: { method: verifyMicroservice(guard) } } };
    server.route({ method: "GET", path: "/stock", options, handler: ({ app }) => handle(app.caller) });
    const post = ({ app, payload }: Request) => handle(app.caller, payload);
    server.route({ method: "POST", path: "/stock", options, handler: post });
  }
  server.route({ method: "GET", path: "/own", handler: () => own() });
  await server.initialize();
  return (req, res) => void server.listener.emit("request", req, res);
});
