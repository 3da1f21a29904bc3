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
  /** Seconds; becomes the `max-age` of the front interface. Absent: no Cache-Control is sent. */
  validityInSeconds?: number;
}

/** What `override.functions` may replace. Each takes one object; what it returns stands alone. */
export interface RecipeFunctions {
  createJWT(input: {
    payload?: object | undefined;
    validitySeconds?: number | undefined;
    useStaticSigningKey?: boolean | undefined;
    userContext: UserContext;
  }): Promise<CreateJWTResult>;
  getJWKS(input: { userContext: UserContext }): Promise<JWKSResult>;
}

/** The request of a front interface, as overrides see it. */
export interface FrontRequest {
  readonly original: unknown;
  getMethod(): string;
  getOriginalURL(): string;
  getHeaderValue(name: string): string | undefined;
  getKeyValueFromQuery(name: string): string | undefined;
}

/** The answer of a front interface while overrides can still change it. */
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

/** What `override.apis` may replace; undefined removes the route. */
export interface RecipeApis {
  getJWKSGET:
    | undefined
    | ((input: {
        options: APIOptions;
        userContext: UserContext;
      }) => Promise<{ keys: JsonWebKey[] } | { status: "GENERAL_ERROR"; message: string }>);
}

export interface JwtRecipeConfig {
  /** Seconds a token lives where `createJWT` is not told. Default 3153600000, a hundred years. */
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

/** The recipe of an instance: its functions and APIs, overrides applied. */
export interface JwtRecipeInstance {
  readonly config: Readonly<JwtRecipeConfig>;
  readonly functions: RecipeFunctions;
  readonly apis: RecipeApis;
  /** Whether the service publishes other keys than its core does. */
  readonly overridesKeys: boolean;
}

/** Builds the recipe of one instance. `core` is undefined where no connectionURI was given. */
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
    throw new CountersignError("invalid_option", "No core is configured: give init a core.connectionURI");
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
    throw new CountersignError("invalid_argument", "createJWT: payload must be an object");
  }
  try {
    JSON.stringify(payload);
  } catch (error) {
    throw new CountersignError("invalid_argument", "createJWT: payload cannot be written as JSON", { cause: error });
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

/** The core asks for a field that `createJWT` has no name for; any other error stays as it is. */
function withoutAudience(error: unknown): unknown {
  if (!(error instanceof CountersignError) || !error.message.includes("'audience' is missing")) return error;
  const { code, message, status, retryAfter } = error;
  const advice = "name one as 'aud' in the payload, or use getServiceToken({ audience })";
  return new CountersignError(code, `${message}: ${advice}`, { status: status!, retryAfter, cause: error });
}

/** @throws CountersignError `core_refused` */
export function tokenIn({ status, jwt }: JsonObject): string {
  if (status === "OK" && typeof jwt === "string") return jwt;
  throw new CountersignError("core_refused", "The core's answer holds no token", { status: 200 });
}

let warnedOfClampedExpiry = false;

/** Once per process: what was asked for will be asked for again. */
function warnOfClampedExpiry(
  { validity, useStaticSigningKey }: CreateJwtRequest,
  jwt: string,
  expiresAt: number,
  isService: boolean,
): void {
  if (warnedOfClampedExpiry) return;
  warnedOfClampedExpiry = true;
  const date = (seconds: number) => new Date(seconds * 1000).toISOString();
  const asked = `createJWT asked for a token until ${date(Date.now() / 1000 + validity)}; `;
  const byKey =
    `the key that signs it verifies until ${date(expiresAt)}, and so does the token: ask for less, or renew it ` +
    `before then${useStaticSigningKey === false ? ", or use the static key" : ""}`;
  const byCredential =
    `a service's credential gets tokens for an hour at most, and this one ends ${date(expiresAt)}: ask for less, or ` +
    "renew it before then, as createServiceFetch does";
  // Less than an hour is its key's doing, also for a service.
  const isWhole = (lifetimeOf(jwt) ?? SERVICE_TOKEN_LIFETIME) >= SERVICE_TOKEN_LIFETIME;
  const warning = asked + (isService && isWhole ? byCredential : byKey);
  process.emitWarning(warning, { code: "COUNTERSIGN_EXP_CLAMPED" });
}

/** Seconds that a token lives by its own word; undefined: it does not say. */
export function lifetimeOf(jwt: string): number | undefined {
  const decoded = decodeJwt(jwt);
  const { iat, exp } = decoded.ok ? decoded.jwt.claims : {};
  return typeof iat === "number" && typeof exp === "number" ? exp - iat : undefined;
}

/** @throws CountersignError with the given code */
export function checkValidity(name: string, validity: unknown, code: "invalid_option" | "invalid_argument"): void {
  if (Number.isInteger(validity) && (validity as number) > 0 && (validity as number) <= LIMITS.validity) return;
  throw new CountersignError(code, `${name}: whole seconds from 1 to ${LIMITS.validity} (100 years) were expected`);
}

export const DEFAULT_MAX_AGE = 60; // seconds, where the core names none

async function readJwks(core: CoreClient, userContext: UserContext): Promise<JWKSResult> {
  const response = await core.getCachedDocument(PATHS.jwks, userContext);
  if (response.status !== 200) throw refusedByCore("GET", PATHS.jwks, response);
  const document = parseStrictJson(response.text, LIMITS.jsonDepth);
  const keys = document.ok ? document.value["keys"] : undefined;
  if (!Array.isArray(keys))
    throw new CountersignError("core_refused", "The core's answer is no key set", { status: 200 });
  // The caller's own, to change as they like.
  return {
    keys: structuredClone(keys) as JsonWebKey[],
    validityInSeconds: maxAgeOf(response.headers) ?? DEFAULT_MAX_AGE,
  };
}

/** The front interface's own form of it. */
export function cacheControlFor(maxAge: number): string {
  return `max-age=${maxAge}, must-revalidate`;
}

/** The original `getJWKSGET`: what `getJWKS` says, and a Cache-Control that follows it. */
const getJWKSGET: NonNullable<RecipeApis["getJWKSGET"]> = async ({ options, userContext }) => {
  const { keys, validityInSeconds } = await options.recipeImplementation.getJWKS({ userContext });
  if (validityInSeconds !== undefined) {
    options.res.setHeader("Cache-Control", cacheControlFor(validityInSeconds));
  }
  return { keys };
};
