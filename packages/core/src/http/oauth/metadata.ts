import { ALGORITHMS, PATHS } from "countersign/protocol";
import type { PublicRoute } from "../public/well-known.ts";
import { jsonResponse, textResponse, withHeaders } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { CLIENT_AUTHENTICATION_METHODS } from "./client-authentication.ts";
import { INTROSPECTION_PATH } from "./introspection.ts";
import { REVOCATION_PATH } from "./revocation.ts";
import { GRANT_TYPE, TOKEN_PATH } from "./token.ts";

/** RFC 8414 section 3, and the same document where OpenID Connect clients look for it. */
const METADATA_PATHS = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

/** The same for every endpoint. `EdDSA` is the older name of Ed25519. */
const AUTHENTICATION = Object.fromEntries(
  ["token", "introspection", "revocation"].flatMap((name) => [
    [`${name}_endpoint_auth_methods_supported`, CLIENT_AUTHENTICATION_METHODS],
    [`${name}_endpoint_auth_signing_alg_values_supported`, [...ALGORITHMS, "EdDSA"]],
  ]),
);

const HEADERS = { "cache-control": "max-age=60, public", "access-control-allow-origin": "*" };
const NO_ISSUER = textResponse(404, "This core does not know its public URL; start it with --public-url");

/** The metadata of an app's issuer. */
export function metadataRoutes({ issuerUrls, state }: UseCases): readonly PublicRoute[] {
  const handle: PublicRoute["handle"] = (c) => {
    const { appId } = c.path;
    const issuer = issuerUrls.of(appId);
    if (issuer === undefined) return NO_ISSUER;
    const metadata = {
      issuer,
      token_endpoint: issuer + TOKEN_PATH,
      jwks_uri: issuer + PATHS.jwksAll,
      grant_types_supported: [GRANT_TYPE],
      response_types_supported: [], // no authorization endpoint
      introspection_endpoint: issuer + INTROSPECTION_PATH,
      revocation_endpoint: issuer + REVOCATION_PATH,
      ...AUTHENTICATION,
      // OpenID Connect Discovery 1.0 section 3 requires these, although the core issues no ID tokens.
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: state.rotationPolicyOf(appId).algorithms,
    };
    return withHeaders(jsonResponse(metadata), HEADERS);
  };
  return METADATA_PATHS.map((path) => ({ path, handle }));
}
