import type { NormalisedAppInfo } from "../config/app-info.ts";
import type { CoreClient } from "../core-client/core-client.ts";
import { isServiceName, PATHS, SERVICE_TOKEN_LIFETIME, type CreateJwtRequest } from "../protocol/api.ts";
import { tokenIn } from "../recipe/jwt-recipe.ts";
import type { ResolvedPurpose } from "./token-purpose.ts";

/**
 * Requests a token of this service from the core.
 *
 * @param timeout milliseconds
 * @throws CountersignError `core_unreachable`, `core_refused`
 */
export async function requestServiceToken(
  { audience, scope }: ResolvedPurpose,
  { appName, apiDomain }: NormalisedAppInfo,
  core: CoreClient,
  timeout: number,
): Promise<string> {
  const sub = isServiceName(appName) ? appName : undefined;
  if (sub === undefined && !core.isService) warnOfMissingSub(appName);
  const request: CreateJwtRequest = {
    // With a service credential, the core sets sub and checks the purpose. An API key sets its own claims.
    ...(core.isService
      ? { payload: { source: "microservice" }, audience, scope }
      : { payload: { source: "microservice", sub, aud: audience, scope } }),
    algorithm: "RS256",
    jwksDomain: apiDomain,
    validity: SERVICE_TOKEN_LIFETIME, // also with an API key, which could request more
    useStaticSigningKey: false, // the token expires long before a rotated key
  };
  return tokenIn(await core.call("POST", PATHS.jwt, request, {}, timeout));
}

let hasWarned = false;

/** Warns once per process: the name comes from one place. */
function warnOfMissingSub(appName: string): void {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(
    `appName: expected a service name (a-z, 0-9 and -, such as orders), got ${JSON.stringify(appName)}; this service's ` +
      "tokens have no sub, so services that list allowed callers (allow) reject them",
    { code: "COUNTERSIGN_NO_SUB" },
  );
}
