import { normalizeAppInfo, type AppInfo, type NormalisedAppInfo } from "../config/app-info.ts";
import { systemClock, type Clock } from "../runtime/clock.ts";
import {
  createCoreClient,
  warnOfPlainHttp,
  type Connection,
  type CoreClient,
  type CoreConfig,
  type UserContext,
} from "../core-client/core-client.ts";
import { checkOption } from "../config/option-checks.ts";
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
import { requestServiceToken } from "../service-token/request-token.ts";
import { ServiceTokenCache } from "../service-token/token-cache.ts";
import { buildVerifier, type Verifier } from "../verify/verifier.ts";
import type { VerifierOptions } from "../verify/verifier-options.ts";

/** Options of `init` and `createCountersign`. */
export interface CountersignConfig {
  appInfo: AppInfo;
  /** How to reach the core. A service that only verifies tokens does not need it. */
  core?: CoreConfig | undefined;
  /** The name of `core` in SuperTokens. Setting both is an error. */
  supertokens?: CoreConfig | undefined;
  recipeList?: readonly JwtRecipe[] | undefined;
  /** Print verifier events (rejections, key sets) to stderr, one JSON object per line. Default false. */
  debug?: boolean | undefined;
  /** This and the next two have no effect. They exist for services that migrate from SuperTokens. */
  framework?: string | undefined;
  isInServerlessEnv?: boolean | undefined;
  telemetry?: boolean | undefined;
}

/** One service's connection to its core. `init` creates the default instance. */
export interface Countersign {
  readonly appInfo: NormalisedAppInfo;
  /** Undefined if `recipeList` does not contain the recipe. */
  readonly jwt: JwtRecipeInstance | undefined;
  /** The endpoints that `middleware()` of each framework serves. */
  readonly front: Front;
  /** Receives the events of verifiers without `onEvent`: with `debug`, prints them. */
  readonly onEvent: OnVerifierEvent | undefined;
  /** Same as `createJWT` of the recipe. */
  createJWT(
    payload?: object,
    validitySeconds?: number,
    useStaticSigningKey?: boolean,
    userContext?: UserContext,
  ): Promise<CreateJWTResult>;
  /** Same as `getJWKS` of the recipe. */
  getJWKS(userContext?: UserContext): Promise<JWKSResult>;
  /**
   * Creates a verifier that shares the key set of this instance: the core's, or without a core the one at
   * `{apiDomain}{apiBasePath}/jwt/jwks.json`. `jwksUri` and `issuer` override it.
   *
   * @throws CountersignError `invalid_option`
   */
  createVerifier(options?: VerifierOptions): Verifier;
  /** Same as the exported function, with this instance. */
  createServiceFetch(options?: ServiceFetchOptions): ServiceFetch;
  /** Same as the exported function, with this instance. */
  getServiceToken(options?: ServiceTokenOptions): Promise<string>;
  /** Stops the background work of its verifiers and tokens, and its embedded core if it has one. */
  close(): Promise<void>;
}

/**
 * Creates an instance without changing the default one.
 *
 * @throws CountersignError `invalid_option`
 */
export function createCountersign(config: CountersignConfig): Countersign {
  return buildCountersign(config).countersign;
}

/** Dependencies of an instance that tests replace. */
interface InstanceDependencies {
  readonly clock?: Clock;
  /** The connection to the core. */
  readonly connection?: Connection;
}

/** @returns the instance, and a function that fetches the documents of its issuer immediately */
export function buildCountersign(
  config: CountersignConfig,
  { clock = systemClock, connection }: InstanceDependencies = {},
): { countersign: Countersign; refresh(): Promise<void> } {
  // A module namespace is fine: `import * as config from "./config.js"`.
  checkOption(typeof config === "object" && config !== null && !Array.isArray(config), "init", "an object", config);
  if (config.core !== undefined && config.supertokens !== undefined) {
    throw new CountersignError("invalid_option", "core and supertokens are the same option; set only one");
  }
  const appInfo = normalizeAppInfo(config.appInfo);
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
  const emitToAll: OnVerifierEvent = (event) => {
    for (const listener of listeners) listener(event);
  };
  let documents: IssuerDocuments | undefined;
  // All verifiers share one key set, so an unknown kid causes one request to the core, not one per route.
  const sharedDocuments = () => (documents ??= documentsOf(appInfo, core, clock, emitToAll));
  const onEvent = config.debug === true ? printEvent : undefined;

  const countersign = Object.freeze<Countersign>({
    appInfo,
    jwt: listed === undefined ? undefined : recipe,
    front: createFront(appInfo, recipe, core),
    onEvent,
    createJWT: async (payload, validitySeconds, useStaticSigningKey, userContext = {}) =>
      recipe.functions.createJWT({ payload, validitySeconds, useStaticSigningKey, userContext }),
    getJWKS: async (userContext = {}) => recipe.functions.getJWKS({ userContext }),
    createVerifier(options = {}) {
      const withListener = { ...options, onEvent: options.onEvent ?? onEvent };
      const built = buildVerifier(withListener, sharedDocuments(), clock);
      const listener = emitTo(withListener.onEvent);
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
      documents?.keySet.close();
      documents?.feed?.close();
      await core?.close();
    },
  });
  const refresh = async () => {
    for (const document of [documents?.keySet, documents?.feed]) {
      await document?.refreshing; // started before the change
      await document?.refresh();
    }
  };
  return { countersign, refresh };
}

/** Returns the documents of the core. Without a core: those at the instance's own domain, which another service serves. */
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
