import { hasExpired } from "../../domain/authentication/credential.ts";
import type { ClientKey } from "../../domain/authentication/client-key.ts";
import type { ServicePrincipal } from "./authenticate.ts";
import { digestOf } from "../../crypto/digest.ts";
import type { InstanceState } from "../../state/instance-state.ts";

/**
 * Reports whether an authenticated service is still enabled and its credential, key or trusted identity still valid.
 * A caller can delay the end of its request body, or a platform its response, for as long as it wants.
 */
export function isStillAuthenticated(
  state: InstanceState,
  { appId, service, proof, credentialId }: ServicePrincipal,
): boolean {
  const found = state.servicesOf(appId)?.find(service);
  if (found === undefined || found.disabledAt !== null) return false;
  switch (proof) {
    case "credential":
      return found.credentials.some((one) => one.id === credentialId && !hasExpired(one, state.now()));
    case "key":
      return state
        .clientsOf(appId)!
        .keysOf(service)
        .some((key) => idOfKey(key) === credentialId);
    case "trust":
      return state
        .clientsOf(appId)!
        .trusts()
        .some((trust) => trust.id === credentialId);
  }
}

/** Identifies a client key by its content, because a service can reuse a kid for another key. */
export function idOfKey({ jwk }: ClientKey): string {
  return digestOf(JSON.stringify(jwk));
}
