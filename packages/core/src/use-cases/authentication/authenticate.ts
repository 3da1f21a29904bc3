import { hash, timingSafeEqual } from "node:crypto";
import { hasExpired, isWrittenAsCredential } from "../../domain/authentication/credential.ts";
import { digestOf } from "../../crypto/digest.ts";
import type { CredentialUses } from "./credential-uses.ts";
import type { InstanceState } from "../../state/instance-state.ts";

/** An authenticated service of one app. */
export interface ServicePrincipal {
  readonly type: "service";
  readonly appId: string;
  readonly service: string;
  readonly proof: "credential" | "key" | "trust";
  /** The credential, client key or trusted identity that it authenticated with. */
  readonly credentialId: string;
}

/**
 * The authenticated caller. API keys grant access to the driver interface, admin keys to the admin API, and service
 * credentials to the service's own operations of the driver interface.
 */
export type Principal = { readonly type: "api-key" | "admin-key" | "anonymous" } | ServicePrincipal;

/**
 * @param presented the key or credential in the request, if any
 * @param appId the app of the request, which might not exist; a service authenticates in its own app only
 * @returns undefined if authentication fails
 */
export type Authenticate = (presented: string | undefined, appId: string) => Principal | undefined;

interface ConfiguredKeys {
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
}

/**
 * Compares digests in constant time, against every configured key. Looks service credentials up by digest: clients
 * cannot choose a digest, so the time of the lookup reveals nothing useful. Revoked and expired credentials, and those
 * of disabled or deleted services, take the same steps as unknown ones.
 *
 * Without configured API keys, requests without a key are anonymous, because the core then listens on loopback only.
 * Text in the form of a service credential must be a valid one even then.
 */
export function createAuthenticate(
  { apiKeys, adminKeys }: ConfiguredKeys,
  state: InstanceState,
  uses: CredentialUses,
): Authenticate {
  const known = [
    ...adminKeys.map((key) => ({ digest: bytesOf(digestOf(key)), principal: ADMIN_KEY })),
    ...apiKeys.map((key) => ({ digest: bytesOf(digestOf(key)), principal: API_KEY })),
  ];
  const fallback = apiKeys.length === 0 ? ANONYMOUS : undefined;

  function serviceWith(digest: string, appId: string): Principal | undefined {
    const credential = state.servicesOf(appId)?.credentialOf(digest);
    const now = state.now();
    if (credential === undefined || hasExpired(credential, now)) return undefined;
    uses.note(credential, now);
    const { service, id: credentialId } = credential;
    return { type: "service", appId, service, proof: "credential", credentialId };
  }

  return (presented, appId) => {
    if (presented === undefined) return fallback;
    const digest = digestOf(presented);
    const bytes = bytesOf(digest);
    let found: Principal | undefined;
    for (const { digest: own, principal } of known) {
      if (timingSafeEqual(own, bytes)) found ??= principal;
    }
    const service = serviceWith(digest, appId);
    return found ?? service ?? (isWrittenAsCredential(presented) ? undefined : fallback);
  };
}

const ADMIN_KEY: Principal = Object.freeze({ type: "admin-key" });
const API_KEY: Principal = Object.freeze({ type: "api-key" });
const ANONYMOUS: Principal = Object.freeze({ type: "anonymous" });

/** Returns a label that identifies an admin key in records without revealing it. */
export function labelOfAdminKey(key: string): string {
  return `admin key ${hash("sha256", key, "hex").slice(0, 6)}`;
}

function bytesOf(digest: string): Buffer {
  return Buffer.from(digest, "latin1");
}
