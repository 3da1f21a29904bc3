import { normaliseAppInfo, type AppInfo, type NormalisedAppInfo } from "../config/app-info.ts";
import { systemClock, type Clock } from "../runtime/clock.ts";
import {
  createCoreClient,
  warnOfPlainHttp,
  type Connection,
  type CoreClient,
  type CoreConfig,
  type UserContext,
} from "../core-client/core-client.ts";
import { emitTo, type OnVerifierEvent, type VerifierEvent } from "../telemetry/events.ts";
import { createFront, type Front } from "../recipe/jwks-endpoints.ts";
import { KeySet } from "../jwks/key-set.ts";
import type { Source } from "../jwks/polled-document.ts";
import { documentsAt, type IssuerDocuments } from "../verify/issuer-documents.ts";
import { PATHS } from "../protocol/api.ts";
import { CountersignError } from "../protocol/errors.ts";
import {
  connected,
  createRecipe,
  type CreateJWTResult,
  type JWKSResult,
  type JwtRecipe,
  type JwtRecipeInstance,
} from "../recipe/jwt-recipe.ts";
import { RevocationFeed } from "../revocation/revocation-feed.ts";
import {
  buildServiceFetch,
  serviceTokenOf,
  type ServiceFetch,
  type ServiceFetchOptions,
  type ServiceTokenOptions,
} from "../service-token/service-fetch.ts";
import { requestServiceToken } from "../service-token/service-token.ts";
import { ServiceTokenCache } from "../service-token/token-cache.ts";
import { buildVerifier, type Verifier } from "../verify/verifier.ts";
import type { VerifierOptions } from "../verify/verifier-options.ts";

/** What `init` and `createCountersign` take. */
export interface CountersignConfig {
  appInfo: AppInfo;
  /** How to reach the core. A service that only verifies needs none. */
  core?: CoreConfig | undefined;
  /** The same under the name that existing services use. Both given: an error. */
  supertokens?: CoreConfig | undefined;
  recipeList?: readonly JwtRecipe[] | undefined;
  /** Prints what verifiers see (refusals, key sets) on stderr, one JSON line each. Default false. */
  debug?: boolean | undefined;
  /** Accepted and without effect, as are the next two: existing services pass them. */
  framework?: string | undefined;
  isInServerlessEnv?: boolean | undefined;
  telemetry?: boolean | undefined;
}

/** One service's view of its core. `init` makes the default one. */
export interface Countersign {
  readonly appInfo: NormalisedAppInfo;
  /** Undefined where `recipeList` does not name the recipe. */
  readonly jwt: JwtRecipeInstance | undefined;
  /** The front interface: what `middleware()` of each framework serves. */
  readonly front: Front;
  /** Told by verifiers whose options name nobody to tell: with `debug`, who prints it. */
  readonly onEvent: OnVerifierEvent | undefined;
  /** As `createJWT` of the recipe. */
  createJWT(
    payload?: object,
    validitySeconds?: number,
    useStaticSigningKey?: boolean,
    userContext?: UserContext,
  ): Promise<CreateJWTResult>;
  /** As `getJWKS` of the recipe. */
  getJWKS(userContext?: UserContext): Promise<JWKSResult>;
  /**
   * A verifier that knows what this instance knows: the core's key set where it has a core,
   * else the one at `{apiDomain}{apiBasePath}/jwt/jwks.json`. Options go before that.
   */
  createVerifier(options?: VerifierOptions): Verifier;
  /** As the function of that name, on this instance. */
  createServiceFetch(options?: ServiceFetchOptions): ServiceFetch;
  /** As the function of that name, on this instance. */
  getServiceToken(options?: ServiceTokenOptions): Promise<string>;
  /** Stops the background work of its verifiers and tokens, and its core where that is embedded. */
  close(): Promise<void>;
}

/**
 * Makes an instance without touching the default one.
 *
 * @throws CountersignError `invalid_option`
 */
export function createCountersign(config: CountersignConfig): Countersign {
  return buildCountersign(config).countersign;
}

/** What an instance stands on; tests bring their own. */
interface Ground {
  readonly clock?: Clock;
  /** How its core is reached. */
  readonly connection?: Connection;
}

/** @returns the instance, and a way to have what its issuer publishes anew without waiting for the time to come */
export function buildCountersign(
  config: CountersignConfig,
  { clock = systemClock, connection }: Ground = {},
): { countersign: Countersign; refresh(): Promise<void> } {
  if (typeof config !== "object" || config === null)
    throw new CountersignError("invalid_option", "init: an object was expected");
  if (config.core !== undefined && config.supertokens !== undefined) {
    throw new CountersignError(
      "invalid_option",
      "core and supertokens are two names of the same option: give one of them",
    );
  }
  const appInfo = normaliseAppInfo(config.appInfo);
  const coreConfig = config.core ?? config.supertokens;
  const core = coreConfig === undefined ? undefined : createCoreClient(coreConfig, appInfo, clock, connection);
  const listed = config.recipeList?.find((recipe) => recipe.recipeId === "jwt");
  const recipe = createRecipe(listed?.config ?? {}, appInfo, core);
  const tokens = new ServiceTokenCache(
    async (purpose, timeout) => requestServiceToken(purpose, appInfo, connected(core), timeout),
    clock,
  );
  const verifiers = new Set<Verifier>();
  const listeners = new Set<OnVerifierEvent>();
  const tellAll: OnVerifierEvent = (event) => {
    for (const listener of listeners) listener(event);
  };
  let known: IssuerDocuments | undefined;
  // One for all verifiers: however many routes are guarded, their unknown kids cost the core one request.
  const published = () => (known ??= documentsOf(appInfo, core, clock, tellAll));

  const debugging = config.debug === true ? printEvent : undefined;

  const countersign = Object.freeze<Countersign>({
    appInfo,
    jwt: listed === undefined ? undefined : recipe,
    front: createFront(appInfo, recipe, core),
    onEvent: debugging,
    createJWT: async (payload, validitySeconds, useStaticSigningKey, userContext = {}) =>
      recipe.functions.createJWT({ payload, validitySeconds, useStaticSigningKey, userContext }),
    getJWKS: async (userContext = {}) => recipe.functions.getJWKS({ userContext }),
    createVerifier(options = {}) {
      const reporting = { ...options, onEvent: options.onEvent ?? debugging };
      const built = buildVerifier(reporting, published(), clock);
      const listener = emitTo(reporting.onEvent);
      listeners.add(listener);
      const verifier: Verifier = Object.freeze({
        ...built,
        close() {
          built.close();
          listeners.delete(listener);
          verifiers.delete(verifier);
        },
      });
      verifiers.add(verifier);
      return verifier;
    },
    createServiceFetch: (options = {}) => buildServiceFetch(options, tokens),
    getServiceToken: async (options = {}) => serviceTokenOf(options, tokens),
    async close() {
      for (const verifier of verifiers) verifier.close();
      tokens.close();
      known?.keySet.close();
      known?.feed?.close();
      await core?.close();
    },
  });
  const refresh = async () => {
    const documents = [known?.keySet, known?.feed];
    for (const document of documents) {
      await document?.refreshing; // which began before what is new
      await document?.refresh();
    }
  };
  return { countersign, refresh };
}

/** What an instance knows of its issuer: from its core, else from its own domain, where another service has it. */
function documentsOf(
  appInfo: NormalisedAppInfo,
  core: CoreClient | undefined,
  clock: Clock,
  emit: OnVerifierEvent,
): IssuerDocuments {
  if (core !== undefined) {
    const { name } = core;
    const at = (...paths: string[]): Source => ({
      name,
      places: async () => paths,
      get: (path, headers) => core.getDocument(path, {}, headers),
    });
    const keySet = new KeySet(at(PATHS.jwksAll, PATHS.jwks), clock, emit);
    return { keySet, feed: new RevocationFeed(at(PATHS.revocations), keySet, clock, emit) };
  }
  const jwksUri = `${appInfo.apiDomain}${appInfo.apiBasePath}/jwt/jwks.json`;
  warnOfPlainHttp(jwksUri);
  return documentsAt(jwksUri, undefined, clock, emit);
}

function printEvent(event: VerifierEvent): void {
  process.stderr.write(`${JSON.stringify({ countersign: event })}\n`);
}
