import { maxAgeOf } from "../runtime/bounded-fetch.ts";
import { refusedByCore, type CoreClient, type UserContext } from "../core-client/core-client.ts";
import type { NormalisedAppInfo } from "../config/app-info.ts";
import { PATHS, SERVICE_TOKEN_LIFETIME, type CreateJwtRequest } from "../protocol/api.ts";
import { CountersignError } from "../protocol/errors.ts";
import { decodeJwt } from "../protocol/jwt.ts";
import { parseStrictJson, type JsonObject } from "../protocol/strict-json.ts";
import * as LIMITS from "../protocol/limits.ts";

export type CreateJWTResult = { status: "OK"; jwt: string } | { status: "UNSUPPORTED_ALGORITHM_ERROR" };

/** A public key, as key sets publish it (RFC 7517). */
export type JsonWebKey = { kty: string; kid: string; alg: string; use: string; [member: string]: string };

export interface JWKSResult {
  keys: JsonWebKey[];
  /** Seconds; becomes the `max-age` of the front interface. If absent, it sends no Cache-Control. */
  validityInSeconds?: number;
}

/** The functions that `override.functions` can replace. Each takes one object; its result is used as it is. */
export interface RecipeFunctions {
  createJWT(input: {
    payload?: object | undefined;
    validitySeconds?: number | undefined;
    useStaticSigningKey?: boolean | undefined;
    userContext: UserContext;
  }): Promise<CreateJWTResult>;
  getJWKS(input: { userContext: UserContext }): Promise<JWKSResult>;
}

/** A request to the front interface, for overrides. */
export interface FrontRequest {
  readonly original: unknown;
  getMethod(): string;
  getOriginalURL(): string;
  getHeaderValue(name: string): string | undefined;
  getKeyValueFromQuery(name: string): string | undefined;
}

/** The response of the front interface, which overrides can change. */
export interface FrontResponse {
  readonly original: unknown;
  setHeader(name: string, value: string): void;
  removeHeader(name: string): void;
}

export interface APIOptions {
  req: FrontRequest;
  res: FrontResponse;
  config: Readonly<JwtRecipeConfig>;
  recipeImplementation: RecipeFunctions;
  recipeId: "jwt";
}

/** The APIs that `override.apis` can replace; undefined removes the route. */
export interface RecipeApis {
  getJWKSGET:
    | undefined
    | ((input: {
        options: APIOptions;
        userContext: UserContext;
      }) => Promise<{ keys: JsonWebKey[] } | { status: "GENERAL_ERROR"; message: string }>);
}

export interface JwtRecipeConfig {
  /** Default lifetime of a token in seconds, without `validitySeconds` of `createJWT`. Default 3153600000, 100 years. */
  jwtValiditySeconds?: number | undefined;
  override?: {
    functions?: (original: RecipeFunctions) => RecipeFunctions;
    apis?: (original: RecipeApis) => RecipeApis;
  };
}

/** An entry of `recipeList`. */
export interface JwtRecipe {
  readonly recipeId: "jwt";
  readonly config: Readonly<JwtRecipeConfig>;
}

/** The recipe of an instance: its functions and APIs, with overrides applied. */
export interface JwtRecipeInstance {
  readonly config: Readonly<JwtRecipeConfig>;
  readonly functions: RecipeFunctions;
  readonly apis: RecipeApis;
  /** Whether an override changes the published keys. */
  readonly overridesKeys: boolean;
}

/** Creates the recipe of an instance. @param core undefined without a connectionURI */
export function createRecipe(
  config: Readonly<JwtRecipeConfig>,
  appInfo: NormalisedAppInfo,
  core: CoreClient | undefined,
): JwtRecipeInstance {
  const original: RecipeFunctions = {
    createJWT: async (input) => requestJwt(input, config, appInfo, connected(core)),
    getJWKS: async ({ userContext }) => readJwks(connected(core), userContext),
  };
  const functions = config.override?.functions?.(original) ?? original;
  const originalApis: RecipeApis = { getJWKSGET };
  const apis = config.override?.apis?.(originalApis) ?? originalApis;
  const overridesKeys = functions.getJWKS !== original.getJWKS || apis.getJWKSGET !== getJWKSGET;
  return Object.freeze({ config, functions, apis, overridesKeys });
}

export function connected(core: CoreClient | undefined): CoreClient {
  if (core === undefined) {
    throw new CountersignError("invalid_option", "no core is configured; pass core.connectionURI to init");
  }
  return core;
}

async function requestJwt(
  input: Parameters<RecipeFunctions["createJWT"]>[0],
  config: Readonly<JwtRecipeConfig>,
  appInfo: NormalisedAppInfo,
  core: CoreClient,
): Promise<CreateJWTResult> {
  const payload = input.payload ?? {};
  if (typeof payload !== "object" || Array.isArray(payload)) {
    throw new CountersignError("invalid_argument", "createJWT: payload: expected an object");
  }
  try {
    JSON.stringify(payload);
  } catch (error) {
    throw new CountersignError("invalid_argument", "createJWT: payload: cannot be serialized as JSON", {
      cause: error,
    });
  }
  const validity = input.validitySeconds ?? config.jwtValiditySeconds ?? LIMITS.validity;
  checkValidity("createJWT: validitySeconds", validity, "invalid_argument");
  const request: CreateJwtRequest = {
    payload,
    algorithm: "RS256",
    jwksDomain: appInfo.apiDomain,
    validity,
    useStaticSigningKey: input.useStaticSigningKey !== false,
  };
  const answer = await core.call("POST", PATHS.jwt, request, input.userContext).catch((error: unknown) => {
    throw withoutAudience(error);
  });
  if (answer["status"] === "UNSUPPORTED_ALGORITHM_ERROR") return { status: "UNSUPPORTED_ALGORITHM_ERROR" };
  const jwt = tokenIn(answer);
  if (typeof answer["expiresAt"] === "number") warnOfClampedExpiry(request, jwt, answer["expiresAt"], core.isService);
  return { status: "OK", jwt };
}

/** Explains the error about the missing field `audience`, which `createJWT` does not have. Returns other errors unchanged. */
function withoutAudience(error: unknown): unknown {
  if (!(error instanceof CountersignError) || !error.message.includes("'audience' is missing")) return error;
  const { code, message, status, retryAfter } = error;
  const advice = "set 'aud' in the payload, or use getServiceToken({ audience })";
  return new CountersignError(code, `${message}: ${advice}`, { status: status!, retryAfter, cause: error });
}

/** @throws CountersignError `core_refused` */
export function tokenIn({ status, jwt }: JsonObject): string {
  if (status === "OK" && typeof jwt === "string") return jwt;
  throw new CountersignError("core_refused", "invalid response from the core: no token", { status: 200 });
}

let warnedOfClampedExpiry = false;

/** Warns once per process, because the same request usually repeats. */
function warnOfClampedExpiry(
  { validity, useStaticSigningKey }: CreateJwtRequest,
  jwt: string,
  expiresAt: number,
  isService: boolean,
): void {
  if (warnedOfClampedExpiry) return;
  warnedOfClampedExpiry = true;
  const date = (seconds: number) => new Date(seconds * 1000).toISOString();
  const requested = `createJWT requested a token until ${date(Date.now() / 1000 + validity)}, `;
  const limitedByKey =
    `but its signing key, and therefore the token, expires at ${date(expiresAt)}: request less, or renew the token ` +
    `before then${useStaticSigningKey === false ? ", or use the static key" : ""}`;
  const limitedByCredential =
    `but a service credential gets tokens for at most one hour, and this one expires at ${date(expiresAt)}: request ` +
    "less, or renew the token before then, as createServiceFetch does";
  // A lifetime below one hour is limited by the key, also for a service.
  const isWhole = (lifetimeOf(jwt) ?? SERVICE_TOKEN_LIFETIME) >= SERVICE_TOKEN_LIFETIME;
  const warning = requested + (isService && isWhole ? limitedByCredential : limitedByKey);
  process.emitWarning(warning, { code: "COUNTERSIGN_EXP_CLAMPED" });
}

/** Returns the lifetime of a token in seconds, from its claims; undefined if they lack it. */
export function lifetimeOf(jwt: string): number | undefined {
  const decoded = decodeJwt(jwt);
  const { iat, exp } = decoded.ok ? decoded.jwt.claims : {};
  return typeof iat === "number" && typeof exp === "number" ? exp - iat : undefined;
}

/** @throws CountersignError with the given code */
export function checkValidity(name: string, validity: unknown, code: "invalid_option" | "invalid_argument"): void {
  if (Number.isInteger(validity) && (validity as number) > 0 && (validity as number) <= LIMITS.validity) return;
  throw new CountersignError(code, `${name}: expected whole seconds from 1 to ${LIMITS.validity} (100 years)`);
}

export const DEFAULT_MAX_AGE = 60; // seconds, if the core sends none

async function readJwks(core: CoreClient, userContext: UserContext): Promise<JWKSResult> {
  const response = await core.getCachedDocument(PATHS.jwks, userContext);
  if (response.status !== 200) throw refusedByCore("GET", PATHS.jwks, response);
  const document = parseStrictJson(response.text, LIMITS.jsonDepth);
  const keys = document.ok ? document.value["keys"] : undefined;
  if (!Array.isArray(keys))
    throw new CountersignError("core_refused", "invalid response from the core: not a JWK Set", { status: 200 });
  // A copy, which the caller can change.
  return {
    keys: structuredClone(keys) as JsonWebKey[],
    validityInSeconds: maxAgeOf(response.headers) ?? DEFAULT_MAX_AGE,
  };
}

/** Returns the Cache-Control value of the front interface. */
export function cacheControlFor(maxAge: number): string {
  return `max-age=${maxAge}, must-revalidate`;
}

/** The original `getJWKSGET`: the keys of `getJWKS`, with a matching Cache-Control. */
const getJWKSGET: NonNullable<RecipeApis["getJWKSGET"]> = async ({ options, userContext }) => {
  const { keys, validityInSeconds } = await options.recipeImplementation.getJWKS({ userContext });
  if (validityInSeconds !== undefined) {
    options.res.setHeader("Cache-Control", cacheControlFor(validityInSeconds));
  }
  return { keys };
};
