import { ALGORITHMS, PATHS } from "countersign/protocol";
import { answerJson, refuseText } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { GRANT_TYPE, INTROSPECTION_PATH, REVOCATION_PATH, TOKEN_PATH } from "./oauth-routes.ts";
import type { PublicRoute } from "../public/well-known.ts";

/** RFC 8414, and the name under which other programs look for the same. */
const METADATA_PATHS = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

const METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
/** The same for every endpoint, and `EdDSA` for who calls Ed25519 so. */
const AUTHENTICATION = Object.fromEntries(
  ["token", "introspection", "revocation"].flatMap((name) => [
    [`${name}_endpoint_auth_methods_supported`, METHODS],
    [`${name}_endpoint_auth_signing_alg_values_supported`, [...ALGORITHMS, "EdDSA"]],
  ]),
);

/** What an app tells of itself to programs that are given its issuer only. */
export function metadataRoutes({ issuerUrls, state }: UseCases): readonly PublicRoute[] {
  const handle: PublicRoute["handle"] = (c) => {
    const { appId } = c.get("path");
    const issuer = issuerUrls.of(appId);
    if (issuer === undefined) return refuseText(c, 404, NO_ISSUER);
    c.header("cache-control", "max-age=60, public");
    c.header("access-control-allow-origin", "*");
    return answerJson(c, {
      issuer,
      token_endpoint: issuer + TOKEN_PATH,
      jwks_uri: issuer + PATHS.jwksAll,
      grant_types_supported: [GRANT_TYPE],
      response_types_supported: [], // there is nobody to redirect
      introspection_endpoint: issuer + INTROSPECTION_PATH,
      revocation_endpoint: issuer + REVOCATION_PATH,
      ...AUTHENTICATION,
      // OpenID Connect Discovery 1.0 section 3 wants them, and programs look for them though nobody gets an ID token here.
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: state.rotationPolicyOf(appId).algorithms,
    });
  };
  return METADATA_PATHS.map((path) => ({ path, handle }));
}

const NO_ISSUER = "This core does not know where others reach it: start it with --public-url";
