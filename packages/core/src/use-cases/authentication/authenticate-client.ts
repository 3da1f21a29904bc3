import { decodeJwt, parseKeySet, type DecodedJwt, type VerificationKey } from "countersign/protocol";
import {
  ASSERTION_TOLERANCE,
  isOwnAssertion,
  isTrustedWorkload,
} from "../../domain/authentication/client-assertion.ts";
import type { WorkloadTrust } from "../../domain/authentication/workload-trust.ts";
import type { PlatformKeys } from "../../ports/platform-keys.ts";
import type { Authenticate, ServicePrincipal } from "./authenticate.ts";
import { digestOf } from "../../crypto/digest.ts";
import type { IssuerUrls } from "../apps/issuer-urls.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import { verifiesUnder } from "../../crypto/jws.ts";
import { idOfKey } from "./still-authenticated.ts";
import type { ReplayGuard } from "./replay-guard.ts";

/** The secret or assertion that a client of the OAuth endpoints authenticates with. */
export type ClientProof =
  /** A service credential (RFC 6749 section 2.3.1). */
  | { readonly way: "secret"; readonly clientId: string; readonly secret: string }
  /** A JWT signed by the service or by its platform (RFC 7523). */
  | { readonly way: "assertion"; readonly clientId: string | undefined; readonly assertion: string };

/**
 * @returns the service; undefined if authentication fails for any reason
 * @throws StoreUnavailable, PlatformUnavailable
 */
export type AuthenticateClient = (proof: ClientProof, appId: string) => Promise<ServicePrincipal | undefined>;

interface Parts {
  readonly authenticate: Authenticate;
  readonly assertions: Pick<ReplayGuard, "use">;
  readonly state: InstanceState;
  readonly issuerUrls: IssuerUrls;
  readonly platformKeys: Pick<PlatformKeys, "hasSigned">;
}

/** Authenticates clients of the OAuth endpoints. Only services are clients; API keys and admin keys are rejected. */
export function createAuthenticateClient(parts: Parts): AuthenticateClient {
  const { authenticate, assertions, state, issuerUrls, platformKeys } = parts;

  function bySecret(clientId: string, secret: string, appId: string): ServicePrincipal | undefined {
    const principal = authenticate(secret, appId);
    return principal?.type === "service" && principal.service === clientId ? principal : undefined;
  }

  /** Accepts an assertion that the service signed itself, for one request only (CVE-2025-27371). */
  async function byOwnKey(jwt: DecodedJwt, service: string, appId: string): Promise<ServicePrincipal | undefined> {
    const key = state.clientsOf(appId)?.findKey(service, jwt.header.kid);
    const issuer = issuerUrls.of(appId);
    if (key === undefined || issuer === undefined || !isSignedBy(jwt, key)) return undefined;
    if (!isOwnAssertion(jwt, service, issuer, state.now() / 1000)) return undefined;
    const { jti, exp } = jwt.claims as { jti: string; exp: number };
    // The service chooses the jti. A digest gives stored entries a fixed length.
    const digest = digestOf(`${service} ${jti}`);
    const fresh = await assertions.use({ appId, digest, until: exp + ASSERTION_TOLERANCE });
    return fresh ? { type: "service", appId, service, proof: "key", credentialId: idOfKey(key) } : undefined;
  }

  /**
   * Accepts a token that a platform signed. It can be reused until it expires: the platform issues its workload one
   * token an hour, and every instance of the workload authenticates with it.
   */
  async function byPlatform(
    jwt: DecodedJwt,
    token: string,
    trusts: readonly WorkloadTrust[],
    clientId: string | undefined,
    appId: string,
  ): Promise<ServicePrincipal | undefined> {
    const now = state.now() / 1000;
    const covering = trusts.filter(
      (trust) => (clientId === undefined || trust.service === clientId) && isTrustedWorkload(jwt, trust, now),
    );
    const pinned = covering.find(({ jwks }) => jwks !== null && isSignedByOneOf(jwt, jwks));
    // Ask the platform even if no trusted identity matches. Otherwise, while the platform is unavailable, the response
    // would reveal which workloads are trusted.
    const published = trusts.find(({ jwks }) => jwks === null);
    const isPublished =
      pinned === undefined && published !== undefined && (await platformKeys.hasSigned(published.issuer, token));
    const trust = pinned ?? (isPublished ? covering.find(({ jwks }) => jwks === null) : undefined);
    // Reject a token that identifies two services.
    if (trust === undefined || covering.some(({ service }) => service !== trust.service)) return undefined;
    return { type: "service", appId, service: trust.service, proof: "trust", credentialId: trust.id };
  }

  return async (proof, appId) => {
    if (proof.way === "secret") return bySecret(proof.clientId, proof.secret, appId);
    const { clientId, assertion } = proof;
    const decoded = decodeJwt(assertion);
    const iss = decoded.ok ? decoded.jwt.claims["iss"] : undefined;
    if (!decoded.ok || typeof iss !== "string") return undefined;
    const trusts = state.clientsOf(appId)?.trustsIn(iss) ?? [];
    // A platform's issuer is a URL, which is never a service name.
    if (trusts.length === 0) {
      return clientId === undefined || clientId === iss ? byOwnKey(decoded.jwt, iss, appId) : undefined;
    }
    return byPlatform(decoded.jwt, assertion, trusts, clientId, appId);
  };
}

/** The key determines the algorithm (RFC 8725 section 3.1). */
function isSignedBy(jwt: DecodedJwt, { algorithm, jwk: publicJwk }: VerificationKey): boolean {
  return algorithm === jwt.algorithm && verifiesUnder({ algorithm, publicJwk }, jwt.signingInput, jwt.signature);
}

function isSignedByOneOf(jwt: DecodedJwt, jwks: string): boolean {
  const read = parseKeySet(jwks);
  const key = read.ok ? read.keys.find(({ kid }) => kid === jwt.header.kid) : undefined;
  return key !== undefined && isSignedBy(jwt, key);
}
