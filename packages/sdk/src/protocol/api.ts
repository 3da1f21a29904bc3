// The driver interface between the SDK and a core. Marked as pure, so that the bundle of a verifier leaves it out.

/** Every version that our core supports, oldest first. */
export const DRIVER_VERSIONS: readonly string[] = /* @__PURE__ */ driverVersions();

function driverVersions(): readonly string[] {
  const minors = { 2: [7, 21], 3: [0, 1], 4: [0, 0], 5: [0, 6] } as const;
  const versions = Object.entries(minors).flatMap(([major, [from, to]]) =>
    Array.from({ length: to - from + 1 }, (_, i) => `${major}.${from + i}`),
  );
  return Object.freeze(versions);
}

export const DEFAULT_CORE_PORT = 3567;

/** The prefix of a service credential; the service name and a random part follow. */
export const CREDENTIAL_PREFIX = "cs_";

/** The longest lifetime of a service's token, in seconds. The service can always get a new one. */
export const SERVICE_TOKEN_LIFETIME = 3_600;

/** Without underscores, because a credential has the name between two of them. */
const SERVICE_NAME = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Reports whether a name is valid for a service. */
export function isServiceName(text: string): boolean {
  return SERVICE_NAME.test(text);
}

export const PATHS = /* @__PURE__ */ Object.freeze({
  hello: "/hello",
  apiVersion: "/apiversion",
  jwt: "/recipe/jwt",
  jwtJwks: "/recipe/jwt/jwks",
  /** RSA keys only: existing clients break on a member without `n` and `e`. */
  jwks: "/.well-known/jwks.json",
  /** Every algorithm. */
  jwksAll: "/.well-known/jwks-all.json",
  revocations: "/.well-known/revocations",
  createApp: "/recipe/multitenancy/app/v2",
  listApps: "/recipe/multitenancy/app/list/v2",
  removeApp: "/recipe/multitenancy/app/remove",
});

/** Body of `POST /recipe/jwt`. */
export interface CreateJwtRequest {
  payload: object;
  algorithm: string;
  /** Becomes `iss`. */
  jwksDomain: string;
  /** Seconds. */
  validity: number;
  useStaticSigningKey?: boolean;
  /** With a service credential: the service to call, and the scopes separated by spaces. */
  audience?: string | undefined;
  scope?: string | undefined;
}

export type CreateJwtResponse =
  | {
      status: "OK";
      jwt: string;
      /** The `exp` of the token in seconds since the epoch, if it is earlier than requested. */
      expiresAt?: number;
    }
  | { status: "UNSUPPORTED_ALGORITHM_ERROR" };

/** A published key (RFC 7517). All members are strings, because existing clients require that. */
export interface PublishedJwk {
  kty: string;
  kid: string;
  alg: string;
  use: "sig";
  n?: string;
  e?: string;
  crv?: string;
  x?: string;
  y?: string;
}

/** Compares two driver versions; negative if `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}
