import { composeCore, type Surroundings } from "./composition/compose-core.ts";
import { serve, type EmbeddedCore, type RunningCore } from "./composition/serve.ts";
import { resolveConfig, storeSettingsIn, type CoreOptions } from "./config/config.ts";

export type { CoreOptions } from "./config/config.ts";
export type { EmbeddedCore, RunningCore } from "./composition/serve.ts";
export type { RotationPolicy } from "./domain/keys/rotation.ts";
export type { KeyVault, SealContext, Sealed } from "./ports/key-vault.ts";
export { VERSION, type Surroundings } from "./composition/compose-core.ts";
export type { CoreClock } from "./ports/clock.ts";
export { StartupError } from "./ports/startup-error.ts";
export type { Log } from "./ports/log.ts";

/**
 * Starts a core that listens. Options override environment variables.
 *
 * @throws StartupError with what is wrong and what to do, one line for each error
 * @example
 * const core = await startCore({ port: 0, dataDir: "./core", apiKeys: [process.env.CORE_API_KEY!] });
 * console.log(core.url);
 */
export async function startCore(options: CoreOptions = {}, surroundings: Surroundings = {}): Promise<RunningCore> {
  const hasVault = surroundings.vault !== undefined;
  return serve(resolveConfig(options, surroundings.environment ?? process.env, { hasVault }), surroundings);
}

/**
 * Runs a core inside this process, on an embedded store or a PostgreSQL database. Several processes can share either.
 * Takes no API keys: code with access to the returned object can request any token. Of the environment, it reads only
 * the variables about the master key, rotation, algorithms and COUNTERSIGN_MAX_RING_AGE.
 *
 * @throws StartupError with what is wrong and what to do, one line for each error
 */
export async function embedCore(
  options: Pick<CoreOptions, "dataDir" | "database" | "adminKeys" | "rotation" | "maxRingAge"> = {},
  surroundings: Surroundings = {},
): Promise<EmbeddedCore> {
  const environment = storeSettingsIn(surroundings.environment ?? process.env);
  const hasVault = surroundings.vault !== undefined;
  const core = await composeCore(
    resolveConfig({ ...options, apiKeys: [] }, environment, { hasVault }),
    surroundings,
    "serve",
  );
  return Object.freeze({
    fetch: (request: Request) => core.http.fetch(request),
    close: () => core.close(),
  });
}
