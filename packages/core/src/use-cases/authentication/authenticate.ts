import { hash, timingSafeEqual } from "node:crypto";
import { hasExpired, isWrittenAsCredential } from "../../domain/authentication/credential.ts";
import { digestOf } from "../../crypto/digest.ts";
import type { CredentialUses } from "./credential-uses.ts";
import type { InstanceState } from "../../state/instance-state.ts";

/** A service that has proved to be the one that it says, in one app. */
export interface ServicePrincipal {
  readonly type: "service";
  readonly appId: string;
  readonly service: string;
  readonly proof: "credential" | "key" | "trust";
  /** Which of its credentials, keys or trusts it was. */
  readonly credentialId: string;
}

/**
 * Who asks. API keys open the driver interface, admin keys administration, services what is theirs there; none of them
 * opens the others' doors.
 */
export type Principal = { readonly type: "api-key" | "admin-key" | "anonymous" } | ServicePrincipal;

/**
 * @param presented the key of the request, if it brought one
 * @param appId the app that the request is about, which need not exist: a service is nobody in another one
 */
export type Authenticate = (presented: string | undefined, appId: string) => Principal | undefined;

interface ConfiguredKeys {
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
}

/**
 * Keys and credentials are kept as digests. Comparing digests takes the same time wherever they differ, and every
 * configured key is compared; a service's credential is looked up by its digest, of which nobody can choose a part that
 * would help to find the next one. What was revoked, has expired, or belongs to a service that is disabled or gone is
 * unknown after the same steps as what never was.
 * While no API key is configured, a request may do without one: the core is then reached from this machine only. Who
 * says to be a service is that one or nobody, there too.
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

/** What an admin key is called where it is told who did something: nobody can use it for that. */
export function labelOfAdminKey(key: string): string {
  return `admin key ${hash("sha256", key, "hex").slice(0, 6)}`;
}

function bytesOf(digest: string): Buffer {
  return Buffer.from(digest, "latin1");
}
