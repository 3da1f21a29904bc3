// The least a framework's guard can be. They stand in until `countersign/framework/fastify` and `/hono` are imported in
// their place.
import { createVerifier } from "countersign";

/**
 * @param {import("countersign").VerifierOptions} options
 * @returns {import("fastify").onRequestAsyncHookHandler}
 */
export function fastifyGuard(options) {
  const verifier = createVerifier(options);
  return async (request, reply) => {
    const decision = await verifier.verifyAuthorization(request.raw.headersDistinct["authorization"]);
    if (!decision.allowed) return reply.code(decision.status).send({ message: "refused" });
    Object.assign(request, { caller: decision.caller });
  };
}

/**
 * @param {import("countersign").VerifierOptions} options
 * @returns {import("hono").MiddlewareHandler<{
 *   Bindings: import("@hono/node-server").HttpBindings,
 *   Variables: { caller: import("countersign").Caller },
 * }>}
 */
export function honoGuard(options) {
  const verifier = createVerifier(options);
  return async (c, next) => {
    const decision = await verifier.verifyAuthorization(c.env.incoming.headersDistinct["authorization"]);
    if (!decision.allowed) return c.json({ message: "refused" }, decision.status);
    c.set("caller", decision.caller);
    return next();
  };
}
