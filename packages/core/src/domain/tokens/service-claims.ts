import type { JsonObject } from "countersign/protocol";

/** The claims that the core sets in a service's token. */
export interface ServiceClaims {
  /** Undefined: the core has no issuer URL, and the service cannot set one. */
  readonly issuer: string | undefined;
  readonly service: string;
  /** The service that it can call with the token. */
  readonly audience: string | undefined;
  readonly scopes: readonly string[];
}

/**
 * Returns the claims that the core adds to the payload of a service. The payload can repeat them, but cannot set another
 * value for any claim that identifies or authorizes a caller: ours, and those that callees might evaluate (RFC 7800,
 * 8693, 9068, 9396). `exp` and `iat` follow from the validity, as in all tokens.
 *
 * @returns if rejected, the reserved claim of the payload
 */
export function claimsOfService(
  payload: JsonObject,
  { issuer, service, audience, scopes }: ServiceClaims,
): { ok: true; claims: JsonObject } | { ok: false; claim: string } {
  const scope = scopes.length === 0 ? undefined : scopes.join(" ");
  const valueOf = (claim: string): unknown => {
    switch (claim) {
      case "sub":
      case "service":
      case "client_id":
        return service;
      case "source":
        return "microservice";
      case "iss":
        return issuer;
      case "aud":
        return audience;
      case "scope":
        return scope;
    }
    return undefined;
  };
  for (const claim of Object.keys(payload)) {
    if (RESERVED.has(claim) && payload[claim] !== valueOf(claim)) return { ok: false, claim };
  }
  const claims: JsonObject = { sub: service, source: "microservice" };
  if (audience !== undefined) claims["aud"] = audience;
  if (scope !== undefined) claims["scope"] = scope;
  return { ok: true, claims };
}

const RESERVED: ReadonlySet<string> = new Set([
  ...["iss", "sub", "aud", "jti", "source", "scope", "service", "client_id"],
  ...["azp", "act", "may_act", "cnf", "acr", "amr", "auth_time", "authorization_details"],
  ...["scp", "scopes", "role", "roles", "groups", "entitlements", "permissions"],
]);
