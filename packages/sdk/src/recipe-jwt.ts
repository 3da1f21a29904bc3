import type { UserContext } from "./core-client/core-client.ts";
import { defaultInstance } from "./instance/default-instance.ts";
import { CountersignError } from "./protocol/errors.ts";
import {
  checkValidity,
  type CreateJWTResult,
  type JWKSResult,
  type JwtRecipe,
  type JwtRecipeConfig,
  type JwtRecipeInstance,
} from "./recipe/jwt-recipe.ts";

/** @throws CountersignError `invalid_option` */
export function init(config: JwtRecipeConfig = {}): JwtRecipe {
  const validity = config.jwtValiditySeconds;
  if (validity !== undefined) checkValidity("jwtValiditySeconds", validity, "invalid_option");
  return Object.freeze({ recipeId: "jwt", config: Object.freeze({ ...config }) });
}

/**
 * Requests a token from the core. With a service credential, the core sets the service and the audience; a service that can
 * call several others sets one as `aud` in the payload, or uses `getServiceToken({ audience })`, which also caches the token.
 *
 * @param payload claims of the token; `iss`, `iat`, `exp` and `jti` are added
 * @param validitySeconds lifetime in seconds; default `jwtValiditySeconds` of `init`
 * @param useStaticSigningKey false: sign with the current dynamic key; `exp` is then at most its expiry. Default true
 * @throws CountersignError `not_initialised`, `invalid_argument`, `core_unreachable`, `core_refused`
 * @example
 * const answer = await jwt.createJWT({ source: "microservice", service: "orders" });
 * if (answer.status === "OK") headers.authorization = `Bearer ${answer.jwt}`;
 */
export async function createJWT(
  payload?: object,
  validitySeconds?: number,
  useStaticSigningKey?: boolean,
  userContext?: UserContext,
): Promise<CreateJWTResult> {
  const { functions } = defaultRecipe();
  return functions.createJWT({ payload, validitySeconds, useStaticSigningKey, userContext: userContext ?? {} });
}

/**
 * Returns the public keys of the core: only RSA keys, which every client can read.
 *
 * @throws CountersignError `not_initialised`, `core_unreachable`, `core_refused`
 */
export async function getJWKS(userContext?: UserContext): Promise<JWKSResult> {
  return defaultRecipe().functions.getJWKS({ userContext: userContext ?? {} });
}

function defaultRecipe(): JwtRecipeInstance {
  const recipe = defaultInstance()?.jwt;
  if (recipe === undefined) {
    throw new CountersignError(
      "not_initialised",
      "Initialisation not done. Did you forget to call the Jwt.init function?",
    );
  }
  return recipe;
}

export default { init, createJWT, getJWKS };

export type {
  APIOptions,
  CreateJWTResult,
  FrontRequest,
  FrontResponse,
  JsonWebKey,
  JWKSResult,
  JwtRecipe,
  JwtRecipeConfig,
  RecipeApis,
  RecipeFunctions,
} from "./recipe/jwt-recipe.ts";
