import { isLoopbackHost } from "countersign/protocol";
import type { CoreConfig } from "../config/config.ts";
import { listen } from "../http/server/listen.ts";
import { composeCore, type Surroundings } from "./compose-core.ts";

/** A core inside this process, without a socket. */
export interface EmbeddedCore {
  /** Responds to a request as the HTTP server does, without a network. */
  fetch(request: Request): Promise<Response>;
  /** Stops background work and closes the store. */
  close(): Promise<void>;
}

/** A core that listens. */
export interface RunningCore extends EmbeddedCore {
  /** `http://HOST:PORT` */
  readonly url: string;
  /** Finishes in-flight requests, for at most 8 seconds, then stops background work and closes the store. */
  close(): Promise<void>;
}

/** Milliseconds that in-flight requests have to finish when the core closes. */
const CLOSE_TIMEOUT = 8_000;

/** @throws StartupError */
export async function serve(config: CoreConfig, surroundings: Surroundings): Promise<RunningCore> {
  const core = await composeCore(config, surroundings, "serve");
  try {
    const server = await listen(core.http, config.host, config.port);
    if (isLoopbackHost(config.host)) core.listensAt(server.url); // any other host might be unknown to clients
    return Object.freeze({
      fetch: (request: Request) => core.http.fetch(request),
      url: server.url,
      async close() {
        await Promise.all([server.close(CLOSE_TIMEOUT), core.stopUpkeep()]);
        await core.close();
      },
    });
  } catch (error) {
    await core.close();
    throw error;
  }
}
