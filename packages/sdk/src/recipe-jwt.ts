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
 * Asks the core for a token. With a service's credential it says who the service is, and whom it may call; one that may
 * call several names one as `aud` in the payload, or uses `getServiceToken({ audience })`, which also keeps the token.
 *
 * @param payload claims of the token; `iss`, `iat`, `exp` and `jti` are added
 * @param validitySeconds seconds it lives; default `jwtValiditySeconds` of `init`
 * @param useStaticSigningKey false: signed by the current dynamic key, whose end its `exp` never isRetryable
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
 * The core's public keys: RSA keys only, as every client can read them.
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
