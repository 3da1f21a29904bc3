import { decodeJwt, LIMITS } from "countersign/protocol";
import type { Store } from "../ports/store.ts";
import type { KeyRing } from "./key-ring.ts";
import type { Managed } from "./manage-keys.ts";
import { verifiesUnder } from "./private-keys.ts";

/** More revoked tokens than this make the feed too large for every verifier to read every half minute. */
const MAX_REVOKED_TOKENS = 10_000;
const MAX_JTI_LENGTH = 64;
const MAX_SERVICE_LENGTH = 256;

/** A token by itself, or by its jti where only that is known. */
export type TokenToRevoke =
  | { readonly token: string }
  | {
      readonly jti: string;
      /** Its `exp`, seconds since the epoch; undefined: not known, so the revocation is kept for ever. */
      readonly expiresAt: number | undefined;
    };

export interface Revoke {
  token(appId: string, which: TokenToRevoke): Promise<Managed<{ jti: string; expiresAt: number }>>;
  /** Everything issued to the service until now. */
  service(appId: string, service: string): Promise<Managed<{ service: string; notBefore: number }>>;
}

export function createRevoke(store: Store, keyRing: KeyRing): Revoke {
  return Object.freeze<Revoke>({
    async token(appId, which) {
      const found = "token" in which ? findToken(appId, which.token) : toEntry(which.jti, which.expiresAt);
      if (!found.ok) return found;
      const { jti, expiresAt } = found.value;
      const full = await store.write(async (writer) => {
        await writer.deleteExpiredTokens(Math.floor(writer.now / 1000) - LIMITS.clockTolerance);
        if ((await writer.countRevokedTokens(appId)) >= MAX_REVOKED_TOKENS) return true;
        await writer.insertRevokedToken({ appId, jti, expiresAt });
        return false;
      });
      await keyRing.catchUp();
      if (!full) return found;
      const problem = `${MAX_REVOKED_TOKENS} tokens are revoked already: revoke the service or the key instead`;
      return { ok: false, status: 409, problem };
    },

    async service(appId, service) {
      if (service === "" || service.length > MAX_SERVICE_LENGTH) {
        return { ok: false, status: 400, problem: `a service has a name of 1 to ${MAX_SERVICE_LENGTH} characters` };
      }
      const notBefore = await store.write(async (writer) => {
        const now = Math.floor(writer.now / 1000);
        await writer.upsertRevokedService({ appId, service, notBefore: now });
        return now;
      });
      await keyRing.catchUp();
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
    if (jti === "" || jti.length > MAX_JTI_LENGTH) {
      const problem = `only a jti of 1 to ${MAX_JTI_LENGTH} characters can be listed: revoke the service or the key instead`;
      return { ok: false, status: 400, problem };
    }
    if (expiresAt <= keyRing.now() / 1000 - LIMITS.clockTolerance) {
      return { ok: false, status: 404, problem: "the token has expired: no verifier accepts it any more" };
    }
    return { ok: true, value: { jti, expiresAt } };
  }
}
