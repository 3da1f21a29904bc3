import { isLoopbackHost } from "countersign/protocol";
import { resolveConfig, storeSettingsIn, type CoreOptions } from "./config/config.ts";
import { listen } from "./http/server/listen.ts";
import { composeCore, type Surroundings } from "./composition/compose-core.ts";

export type { CoreOptions } from "./config/config.ts";
export type { RotationPolicy } from "./domain/keys/rotation.ts";
export type { KeyVault, SealContext, Sealed } from "./ports/key-vault.ts";
export { VERSION, type Surroundings } from "./composition/compose-core.ts";
export type { CoreClock } from "./ports/clock.ts";
export { StartupError } from "./ports/startup-error.ts";
export type { Log } from "./ports/log.ts";

/** A core inside this process, without a socket. */
export interface EmbeddedCore {
  /** Answers a request of the driver interface, or of whoever reads the key set. */
  fetch(request: Request): Promise<Response>;
  close(): Promise<void>;
}

/** A core that listens. */
export interface RunningCore extends EmbeddedCore {
  /** `http://HOST:PORT` */
  readonly url: string;
}

/** How long requests in flight may take to finish when the core is closed. Milliseconds. */
const CLOSING_PATIENCE = 8_000;

/**
 * Starts a core that listens.
 *
 * @throws StartupError, whose message says what is wrong and what to do
 * @example
 * const core = await startCore({ port: 0, dataDir: "./core", apiKeys: [process.env.CORE_API_KEY!] });
 * console.log(core.url);
 */
export async function startCore(options: CoreOptions = {}, surroundings: Surroundings = {}): Promise<RunningCore> {
  const config = resolveConfig(options, surroundings.environment ?? process.env, surroundings.vault !== undefined);
  const core = await composeCore(config, surroundings, "serve");
  try {
    const server = await listen(core.http, config.host, config.port);
    if (isLoopbackHost(config.host)) core.listensAt(server.url); // elsewhere it is not what others call it
    return Object.freeze({
      fetch: (request: Request) => core.http.fetch(request),
      url: server.url,
      async close() {
        await Promise.all([server.close(CLOSING_PATIENCE), core.stopUpkeep()]); // either may take long
        await core.close();
      },
    });
  } catch (error) {
    await core.close();
    throw error;
  }
}

/**
 * Runs a core inside this process, on an embedded store unless a database is given. Several processes may share either.
 * Whoever holds the returned object may ask for any token, so it takes no API keys.
 *
 * @throws StartupError, whose message says what is wrong and what to do
 */
export async function embedCore(
  options: Pick<CoreOptions, "dataDir" | "database" | "adminKeys" | "rotation" | "maxRingAge"> = {},
  surroundings: Surroundings = {},
): Promise<EmbeddedCore> {
  const environment = surroundings.environment ?? process.env;
  const config = resolveConfig(
    { ...options, apiKeys: [] },
    storeSettingsIn(environment), // the other variables are a listening core's
    surroundings.vault !== undefined,
  );
  const core = await composeCore(config, surroundings, "serve");
  return Object.freeze({
    // There is no network to guard against in here: the request's host is whatever the caller wrote.
    fetch: (request: Request) => core.http.fetch(request),
    close: () => core.close(),
  });
}
