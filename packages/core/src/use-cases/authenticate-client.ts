import type { Authenticate, ServicePrincipal } from "./authenticate.ts";

/** What a client of the OAuth endpoints shows for itself. */
export type ClientProof =
  /** One of its credentials (RFC 6749 section 2.3.1). */
  | { readonly way: "secret"; readonly clientId: string; readonly secret: string }
  /** A token that it has signed itself (RFC 7523). */
  | { readonly way: "assertion"; readonly clientId: string | undefined; readonly assertion: string };

/** @returns undefined for whoever is not who it says, whatever the cause */
export type AuthenticateClient = (proof: ClientProof, appId: string) => Promise<ServicePrincipal | undefined>;

/** Clients are services: nobody else has a name to mint for, and no key of another door opens this one. */
export function createAuthenticateClient(authenticate: Authenticate): AuthenticateClient {
  return async (proof, appId) => {
    if (proof.way === "assertion") return undefined;
    const principal = authenticate(proof.secret, appId);
    return principal?.type === "service" && principal.service === proof.clientId ? principal : undefined;
  };
}
