import { hasExpired } from "../../domain/authentication/credential.ts";
import type { ClientKey } from "../../domain/authentication/client-key.ts";
import type { ServicePrincipal } from "./authenticate.ts";
import { digestOf } from "../../crypto/digest.ts";
import type { InstanceState } from "../../state/instance-state.ts";

/**
 * Whether who was known once would still be now: enabled, and by the same credential, key or trust. Between a header and
 * the last byte of a body, or the answer of a platform, lies as long as the caller wants.
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

/** A kid may be given to another key. */
export function idOfKey({ jwk }: ClientKey): string {
  return digestOf(JSON.stringify(jwk));
}
