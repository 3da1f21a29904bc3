import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { StartupError } from "../../ports/startup-error.ts";
import type { HttpInterface } from "./server.ts";

export interface Listening {
  /** `http://HOST:PORT` */
  readonly url: string;
  /**
   * Asks clients to disconnect, then stops accepting connections and waits for requests in flight.
   *
   * @param timeout milliseconds after which requests in flight are canceled
   */
  close(timeout: number): Promise<void>;
}

/**
 * Milliseconds between asking clients to disconnect (`Connection: close`) and closing the server. The core still answers
 * requests that arrive in this time on open connections, and connections that wait to be accepted.
 */
const DRAIN = 250;

/** Milliseconds, against slow senders (H5). Node checks every 30 s by default. */
const TIMEOUTS = { headersTimeout: 5_000, requestTimeout: 15_000, connectionsCheckingInterval: 1_000 };

/** @throws StartupError if the core cannot listen on this address */
export async function listen(http: HttpInterface, host: string, port: number): Promise<Listening> {
  const server = createServer(TIMEOUTS, (incoming, outgoing) => void http.serve(incoming, outgoing));
  server.maxHeadersCount = 0; // Node limits their bytes; a header it leaves out could be a second key
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(explain(error, host, port)));
    server.listen({ port, host, backlog: 4_096 }, resolve);
  });
  const { address, family, port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${chosen}`,
    async close(timeout) {
      server.prependListener("request", (_request, response) => (response.shouldKeepAlive = false));
      if ((await connectionsOf(server)) > 0) await new Promise((resolve) => setTimeout(resolve, DRAIN));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const timer = setTimeout(() => server.closeAllConnections(), timeout);
      await closed;
      clearTimeout(timer);
    },
  };
}

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count ?? 0)));
}

function explain(error: NodeJS.ErrnoException, host: string, port: number): StartupError {
  const messages: Record<string, string> = {
    EADDRINUSE: `port ${port} on ${host} is in use; stop the other process, or choose another port with --port (0: any free port)`,
    EACCES: `port ${port} on ${host} requires privileges; choose a port above 1023 with --port`,
    EADDRNOTAVAIL: `${host} is not an address of this machine; choose another address with --host`,
    ENOTFOUND: `cannot resolve the host name ${host}; choose another one with --host`,
  };
  const message = messages[error.code ?? ""] ?? `cannot listen on ${host}:${port}: ${error.message}`;
  return new StartupError(message, { cause: error });
}
