// A server of one framework in its own process: the same route behind an empty middleware and behind ours.
import { serve } from "@hono/node-server";
import { verifyMicroservice as fastifyGuard } from "countersign/framework/fastify";
import { verifyMicroservice as honoGuard } from "countersign/framework/hono";
import fastify from "fastify";
import { Hono } from "hono";

const [framework, jwksUri = ""] = process.argv.slice(2);
const answer = { item: "anvil", stock: 7 };

/** Each framework listens, and resolves to its port. @type {Record<string, () => Promise<number>>} */
const FRAMEWORKS = {
  async fastify() {
    const app = fastify();
    app.get("/open", { onRequest: (_request, _reply, done) => done() }, async () => answer);
    app.get("/guarded", { onRequest: fastifyGuard({ jwksUri }) }, async () => answer);
    return Number(new URL(await app.listen({ port: 0, host: "127.0.0.1" })).port);
  },
  async hono() {
    const app = new Hono();
    app.get(
      "/open",
      async (_c, next) => next(),
      (c) => c.json(answer),
    );
    app.get("/guarded", honoGuard({ jwksUri }), (c) => c.json(answer));
    return new Promise((resolve) => {
      serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => resolve(port));
    });
  },
};

const listen = FRAMEWORKS[framework ?? ""];
if (listen === undefined) throw new Error(`expected one of ${Object.keys(FRAMEWORKS).join(", ")}`);
const port = await listen();

// Reports the CPU time before and after each measurement, because it does not depend on other processes.
let last = process.cpuUsage();
process.on("message", () => {
  const { user, system } = process.cpuUsage(last);
  process.send?.({ cpuSeconds: (user + system) / 1e6 });
  last = process.cpuUsage();
});
process.on("disconnect", () => process.exit());
process.send?.({ port });
