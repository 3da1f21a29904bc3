import { decodeJwt, LIMITS } from "countersign/protocol";
import { buildFeed, type RevokedService, type RevokedToken } from "../../domain/revocation/revocation-feed.ts";
import type { Store, StoreWriter } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import { verifiesUnder } from "../../crypto/jws.ts";
import { lengthOfFeed } from "./publish-feed.ts";
import { inBatches } from "../batch.ts";

/** More revoked tokens than this make the feed too large for every verifier to read every half minute. */
const MAX_REVOKED_TOKENS = 10_000;
/** Of those, by services themselves, each and together: one that goes wrong leaves room for the others and for administrators. */
const MAX_OWN = 1_000;
const MAX_BY_SERVICES = 8_000;
/** Revocations by services in one transaction: administrators wait for one such turn at most. */
const MOST_AT_ONCE = 100;
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

interface ListedToken {
  readonly jti: string;
  readonly expiresAt: number;
}

export interface Revoke {
  /** @returns until when it is listed, which may be longer than was asked for */
  token(appId: string, which: TokenToRevoke): Promise<ChangeResult<ListedToken>>;
  /**
   * By the service that it was issued to, which may list fewer.
   *
   * @returns also, where there is no room, from when on there is some; seconds since the epoch
   */
  ownToken(appId: string, service: string, token: string): Promise<ChangeResult<ListedToken> & { roomAt?: number }>;
  /** Everything issued to the service until now; what it asks for once this is answered is good. */
  service(appId: string, service: string): Promise<ChangeResult<{ service: string; notBefore: number }>>;
}

/** @param pause lets that many milliseconds pass */
export function createRevoke(store: Store, state: InstanceState, pause: (ms: number) => Promise<unknown>): Revoke {
  const listInTurn = inBatches(MOST_AT_ONCE, list);

  return Object.freeze<Revoke>({
    async token(appId, which) {
      await state.refresh(); // another instance may have made the token's key a moment ago
      const found = "token" in which ? findToken(appId, which.token) : toEntry(which.jti, which.expiresAt);
      if (!found.ok) return found;
      const [listed] = await list([{ appId, ...found.value }]);
      return "until" in listed! ? listedToken(found.value.jti, listed.until) : full(INSTEAD_OF_TOKEN);
    },

    async ownToken(appId, service, token) {
      await state.refresh();
      const found = findToken(appId, token);
      if (!found.ok) return found;
      const listed = await listInTurn({ appId, ...found.value, service });
      if ("until" in listed) return listedToken(found.value.jti, listed.until);
      return { ...full(INSTEAD_OF_TOKEN), roomAt: listed.roomAt };
    },

    async service(appId, service) {
      // To half of the programs that read it, a name ends at its first NUL: no token of ours has one.
      if (service === "" || service.length > MAX_SERVICE_LENGTH || service.includes("\0")) {
        const problem = `a service has a name of 1 to ${MAX_SERVICE_LENGTH} characters, none of them NUL`;
        return { ok: false, status: 400, problem };
      }
      const notBefore = await store.write(async (writer) => {
        const now = Math.floor(writer.now / 1000);
        const { tokens, services } = await writer.revocations.listIn(appId);
        const revoked = { appId, service, notBefore: now };
        const isListed = services.some((one) => one.service === service);
        if (!isListed && !(await fits(writer, appId, tokens, [...services, revoked]))) return undefined;
        await writer.revocations.upsertService(revoked);
        return now;
      });
      await state.catchUp();
      if (notBefore === undefined) return full("revoke the key instead");
      // What is issued in the same second bears the same `iat`, and would be refused for all its life.
      await pause(Math.max(0, (notBefore + 1) * 1000 - state.now()) + CLOCK_LAG);
      return { ok: true, value: { service, notBefore } };
    },
  });

  /** All of it in one transaction. */
  async function list(asked: readonly RevokedToken[]): Promise<Listed[]> {
    const listed = await store.write(async (writer) => {
      await writer.revocations.deleteExpiredTokens(Math.floor(writer.now / 1000) - LIMITS.clockTolerance);
      const results = new Map<RevokedToken, Listed>();
      for (const appId of new Set(asked.map((one) => one.appId))) {
        const own = asked.filter((one) => one.appId === appId);
        for (const [one, result] of await listIn(writer, appId, own)) results.set(one, result);
      }
      return asked.map((one) => results.get(one)!);
    });
    await state.catchUp();
    return listed;
  }

  /** Only what this app has signed can be revoked by showing it. */
  function findToken(appId: string, token: string): ChangeResult<ListedToken> {
    const decoded = decodeJwt(token);
    if (!decoded.ok) return { ok: false, status: 400, problem: "not a token" };
    const { header, signingInput, signature, claims } = decoded.jwt;
    const key = state.keysOf(appId).find((one) => one.kid === header.kid);
    if (key === undefined || !verifiesUnder(key, signingInput, signature)) {
      return { ok: false, status: 404, problem: "this app has not issued such a token" };
    }
    const { jti, exp } = claims;
    if (typeof jti !== "string" || typeof exp !== "number") {
      return { ok: false, status: 400, problem: "the token has no jti: revoke its service or its key instead" };
    }
    return toEntry(jti, exp);
  }

  function toEntry(jti: string, expiresAt: number = LIMITS.numericDate): ChangeResult<ListedToken> {
    if (!LISTABLE_JTI.test(jti)) {
      const problem =
        "only a jti of 1 to 64 printable ASCII characters can be listed: revoke the service or the key instead";
      return { ok: false, status: 400, problem };
    }
    if (expiresAt <= state.now() / 1000 - LIMITS.clockTolerance) {
      return { ok: false, status: 404, problem: "the token has expired: no verifier accepts it any more" };
    }
    return { ok: true, value: { jti, expiresAt } };
  }
}

/** Until when a token is listed, or from when on there is room for it; seconds since the epoch. */
type Listed = { readonly until: number } | { readonly roomAt: number };

/** Under the lock. What is new of it is listed as far as it is allowed, and all of that or nothing as far as it fits. */
async function listIn(
  writer: StoreWriter,
  appId: string,
  asked: readonly RevokedToken[],
): Promise<ReadonlyMap<RevokedToken, Listed>> {
  const { tokens, services } = await writer.revocations.listIn(appId);
  const all = new Map(tokens.map((one) => [one.jti, one]));
  const listed = [...tokens];
  const results = new Map<RevokedToken, Listed>();
  for (const one of asked) {
    const before = all.get(one.jti);
    const crowd = before === undefined ? crowdFor(listed, one) : undefined;
    if (crowd !== undefined) {
      results.set(one, { roomAt: roomAfter(crowd) });
      continue;
    }
    const until = Math.max(one.expiresAt, before?.expiresAt ?? 0);
    all.set(one.jti, { ...(before ?? one), expiresAt: until });
    if (before === undefined) listed.push(one);
    results.set(one, { until });
  }
  const isTooLarge = listed.length > tokens.length && !(await fits(writer, appId, [...all.values()], services));
  for (const one of asked) {
    if (isTooLarge && !tokens.some(({ jti }) => jti === one.jti)) results.set(one, { roomAt: roomAfter(tokens) });
    else if ("until" in results.get(one)!) await writer.revocations.upsertToken(one);
  }
  return results;
}

/** Those who leave no room for one more; undefined: there is some. */
function crowdFor(listed: readonly RevokedToken[], { service }: RevokedToken): readonly RevokedToken[] | undefined {
  if (service !== undefined) {
    const own = listed.filter((one) => one.service === service);
    if (own.length >= MAX_OWN) return own;
    const ofServices = listed.filter((one) => one.service !== undefined);
    if (ofServices.length >= MAX_BY_SERVICES) return ofServices;
  }
  return listed.length >= MAX_REVOKED_TOKENS ? listed : undefined;
}

/** When the first of them is forgotten. */
function roomAfter(crowd: readonly RevokedToken[]): number {
  const first = crowd.reduce((earliest, { expiresAt }) => Math.min(earliest, expiresAt), LIMITS.numericDate);
  return first + LIMITS.clockTolerance + 1;
}

function listedToken(jti: string, expiresAt: number): { ok: true; value: ListedToken } {
  return { ok: true, value: { jti, expiresAt } };
}

/** Whether verifiers can read a feed with these. Asked under the lock. */
async function fits(
  writer: StoreWriter,
  appId: string,
  tokens: readonly RevokedToken[],
  services: readonly RevokedService[],
): Promise<boolean> {
  const feed = buildFeed(await writer.order(), tokens, services, await writer.keys.listIn(appId), writer.now);
  return lengthOfFeed(feed) <= MAX_FEED_BYTES;
}

const INSTEAD_OF_TOKEN = "revoke the service or the key instead";

function full(instead: string): { ok: false; status: 409; problem: string } {
  return { ok: false, status: 409, problem: `as much is revoked already as verifiers can read: ${instead}` };
}
