import type { JsonObject } from "countersign/protocol";

/** What the core says of a service in its token. */
export interface ServiceClaims {
  /** Undefined: the core knows no name of its own, and the service gives it none. */
  readonly issuer: string | undefined;
  readonly service: string;
  /** Whom it may call with it. */
  readonly audience: string | undefined;
  readonly scopes: readonly string[];
}

/**
 * What the core says in a service's token, beside the payload that the service gives. The service may say the same and
 * nothing else, in every claim by which somebody is recognised or allowed something: those of ours, and those of others
 * that callees go by (RFC 7800, 8693, 9068, 9396). `exp` and `iat` follow from the validity, as everywhere.
 *
 * @returns the claim of the payload that is not the service's to set
 */
export function claimsOfService(
  payload: JsonObject,
  { issuer, service, audience, scopes }: ServiceClaims,
): { ok: true; claims: JsonObject } | { ok: false; claim: string } {
  const scope = scopes.length === 0 ? undefined : scopes.join(" ");
  const said = (claim: string): unknown => {
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
    if (RESERVED.has(claim) && payload[claim] !== said(claim)) return { ok: false, claim };
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
