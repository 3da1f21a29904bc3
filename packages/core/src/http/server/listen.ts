import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { StartupError } from "../../ports/startup-error.ts";
import type { HttpInterface } from "./server.ts";

export interface Listening {
  /** Where it answers: `http://HOST:PORT`. */
  readonly url: string;
  /**
   * Lets clients go, then stops accepting and lets requests in flight finish.
   *
   * @param patience milliseconds after which requests in flight are given up
   */
  close(patience: number): Promise<void>;
}

/**
 * Milliseconds between asking clients to leave (`Connection: close`) and closing the door. What was sent
 * meanwhile on an open connection, or waits to be accepted, is still answered.
 */
const DRAIN = 250;

/** Against senders that take for ever; looked at each second, where Node's own habit is half a minute. */
const PATIENCE = { headersTimeout: 5_000, requestTimeout: 15_000, connectionsCheckingInterval: 1_000 };

/** @throws StartupError where the address cannot be listened on */
export async function listen(http: HttpInterface, host: string, port: number): Promise<Listening> {
  // Global objects belong to whoever runs us.
  const answer = getRequestListener((request, env) => http.fetch(request, env), { overrideGlobalObjects: false });
  const server = createServer(PATIENCE, (incoming, outgoing) => {
    if (!http.answerAtOnce(incoming, outgoing)) void answer(incoming, outgoing);
  });
  server.maxHeadersCount = 0; // bounded in bytes; what is left out of a longer list could be a second key
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explain(error, host, port)));
    server.listen({ port, host, backlog: 4_096 }, resolve);
  });
  const { address, family, port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${chosen}`,
    async close(patience) {
      server.prependListener("request", (_request, response) => (response.shouldKeepAlive = false));
      if ((await connectionsOf(server)) > 0) await new Promise((resolve) => setTimeout(resolve, DRAIN));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const timer = setTimeout(() => server.closeAllConnections(), patience);
      await closed;
      clearTimeout(timer);
    },
  };
}

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count ?? 0)));
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): StartupError {
  const words: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is in use: stop what listens there, or choose another one with --port (0 picks a free one)`,
    EACCES: `port ${port} on ${host} needs privileges: choose one above 1023 with --port`,
    EADDRNOTAVAIL: `${host} is not an address of this machine: choose another one with --host`,
    ENOTFOUND: `the host name ${host} cannot be resolved: choose another one with --host`,
  };
  const message = words[error.code ?? ""] ?? `cannot listen on ${host}:${port}: ${error.message}`;
  return new StartupError(message, { cause: error });
}
