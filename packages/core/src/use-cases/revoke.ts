import { decodeJwt, LIMITS } from "countersign/protocol";
import { buildFeed, type RevokedService, type RevokedToken } from "../domain/revocation.ts";
import type { Store, StoreWriter } from "../ports/store.ts";
import type { KeyRing } from "./key-ring.ts";
import type { Managed } from "./manage-keys.ts";
import { verifiesUnder } from "./private-keys.ts";
import { lengthOfFeed } from "./publish-feed.ts";

/** More revoked tokens than this make the feed too large for every verifier to read every half minute. */
const MAX_REVOKED_TOKENS = 10_000;
/** The rest of what verifiers read is kept for its signature, and for kids: revoking a key is never refused. */
const MAX_FEED_BYTES = LIMITS.feedBytes - 65_536;
/** What any verifier reads alike, and the feed can hold ten thousand of. */
const LISTABLE_JTI = /^[\x20-\x7e]{1,64}$/;
const MAX_SERVICE_LENGTH = 256;
/** How far behind the store's clock an instance may issue: for as long as the answer was on its way. Milliseconds. */
const CLOCK_LAG = 100;

/** A token by itself, or by its jti where only that is known. */
export type TokenToRevoke =
  | { readonly token: string }
  | {
      readonly jti: string;
      /** Its `exp`, seconds since the epoch; undefined: not known, so the revocation is kept for ever. */
      readonly expiresAt: number | undefined;
    };

export interface Revoke {
  /** @returns until when it is listed, which may be longer than was asked for */
  token(appId: string, which: TokenToRevoke): Promise<Managed<{ jti: string; expiresAt: number }>>;
  /** Everything issued to the service until now; what it asks for once this is answered is good. */
  service(appId: string, service: string): Promise<Managed<{ service: string; notBefore: number }>>;
}

/** @param pause lets that many milliseconds pass */
export function createRevoke(store: Store, keyRing: KeyRing, pause: (ms: number) => Promise<unknown>): Revoke {
  return Object.freeze<Revoke>({
    async token(appId, which) {
      await keyRing.refresh(); // another instance may have made the token's key a moment ago
      const found = "token" in which ? findToken(appId, which.token) : toEntry(which.jti, which.expiresAt);
      if (!found.ok) return found;
      const { jti, expiresAt } = found.value;
      const listedUntil = await store.write(async (writer) => {
        await writer.deleteExpiredTokens(Math.floor(writer.now / 1000) - LIMITS.clockTolerance);
        const { tokens, services } = await writer.revocationsOf(appId);
        const before = tokens.find((one) => one.jti === jti);
        const revoked = { appId, jti, expiresAt };
        if (before === undefined) {
          if (tokens.length >= MAX_REVOKED_TOKENS) return undefined;
          if (!(await fits(writer, appId, [...tokens, revoked], services))) return undefined;
        }
        await writer.upsertRevokedToken(revoked);
        return Math.max(expiresAt, before?.expiresAt ?? 0);
      });
      await keyRing.catchUp();
      if (listedUntil !== undefined) return { ok: true, value: { jti, expiresAt: listedUntil } };
      return full("revoke the service or the key instead");
    },

    async service(appId, service) {
      // To half of the programs that read it, a name ends at its first NUL: no token of ours has one.
      if (service === "" || service.length > MAX_SERVICE_LENGTH || service.includes("\0")) {
        const problem = `a service has a name of 1 to ${MAX_SERVICE_LENGTH} characters, none of them NUL`;
        return { ok: false, status: 400, problem };
      }
      const notBefore = await store.write(async (writer) => {
        const now = Math.floor(writer.now / 1000);
        const { tokens, services } = await writer.revocationsOf(appId);
        const revoked = { appId, service, notBefore: now };
        const isListed = services.some((one) => one.service === service);
        if (!isListed && !(await fits(writer, appId, tokens, [...services, revoked]))) return undefined;
        await writer.upsertRevokedService(revoked);
        return now;
      });
      await keyRing.catchUp();
      if (notBefore === undefined) return full("revoke the key instead");
      // What is issued in the same second bears the same `iat`, and would be refused for all its life.
      await pause(Math.max(0, (notBefore + 1) * 1000 - keyRing.now()) + CLOCK_LAG);
      return { ok: true, value: { service, notBefore } };
    },
  });

  /** Only what this app has signed can be revoked by showing it. */
  function findToken(appId: string, token: string): Managed<{ jti: string; expiresAt: number }> {
    const decoded = decodeJwt(token);
    if (!decoded.ok) return { ok: false, status: 400, problem: "not a token" };
    const { header, signingInput, signature, claims } = decoded.jwt;
    const key = keyRing.keysOf(appId).find((one) => one.kid === header.kid);
    if (key === undefined || !verifiesUnder(key, signingInput, signature)) {
      return { ok: false, status: 404, problem: "this app has not issued such a token" };
    }
    const { jti, exp } = claims;
    if (typeof jti !== "string" || typeof exp !== "number") {
      return { ok: false, status: 400, problem: "the token has no jti: revoke its service or its key instead" };
    }
    return toEntry(jti, exp);
  }

  function toEntry(jti: string, expiresAt: number = LIMITS.numericDate): Managed<{ jti: string; expiresAt: number }> {
    if (!LISTABLE_JTI.test(jti)) {
      const problem =
        "only a jti of 1 to 64 printable ASCII characters can be listed: revoke the service or the key instead";
      return { ok: false, status: 400, problem };
    }
    if (expiresAt <= keyRing.now() / 1000 - LIMITS.clockTolerance) {
      return { ok: false, status: 404, problem: "the token has expired: no verifier accepts it any more" };
    }
    return { ok: true, value: { jti, expiresAt } };
  }
}

/** Whether verifiers can read a feed with these. Asked under the lock. */
async function fits(
  writer: StoreWriter,
  appId: string,
  tokens: readonly RevokedToken[],
  services: readonly RevokedService[],
): Promise<boolean> {
  const feed = buildFeed(await writer.order(), tokens, services, await writer.keysOf(appId), writer.now);
  return lengthOfFeed(feed) <= MAX_FEED_BYTES;
}

function full(instead: string): { ok: false; status: 409; problem: string } {
  return { ok: false, status: 409, problem: `as much is revoked already as verifiers can read: ${instead}` };
}
