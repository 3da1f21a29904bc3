import { createHash, timingSafeEqual } from "node:crypto";

/** Who asks. API keys open the driver interface, admin keys administration; neither opens the other's doors. */
export type Principal = "api-key" | "admin-key" | "anonymous";

/** @param presented the key of the request, if it brought one */
export type Authenticate = (presented: string | undefined) => Principal | undefined;

/**
 * Keys are kept as digests. Comparing digests takes the same time wherever they differ, and every
 * configured key is compared.
 * While no API key is configured, a request may do without one: the core is then reached from this machine only.
 */
export function createAuthenticate(apiKeys: readonly string[], adminKeys: readonly string[]): Authenticate {
  const known = [
    ...adminKeys.map((key) => ({ digest: digestOf(key), principal: "admin-key" as const })),
    ...apiKeys.map((key) => ({ digest: digestOf(key), principal: "api-key" as const })),
  ];
  const fallback = apiKeys.length === 0 ? "anonymous" : undefined;
  return (presented) => {
    if (presented === undefined) return fallback;
    const digest = digestOf(presented);
    let found: Principal | undefined;
    for (const { digest: own, principal } of known) {
      if (timingSafeEqual(own, digest)) found ??= principal;
    }
    return found ?? fallback;
  };
}

/** What an admin key is called where it is told who did something: nobody can use it for that. */
export function labelOfAdminKey(key: string): string {
  return `admin key ${digestOf(key).toString("hex").slice(0, 6)}`;
}

function digestOf(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
