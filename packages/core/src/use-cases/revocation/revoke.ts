import { decodeJwt, LIMITS } from "countersign/protocol";
import { buildFeed, type RevokedService, type RevokedToken } from "../../domain/revocation/revocation-feed.ts";
import type { Store, StoreWriter } from "../../ports/store.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import { verifiesUnder } from "../../crypto/jws.ts";
import { lengthOfFeed } from "./publish-feed.ts";
import { inBatches } from "../batch.ts";

/** With more revoked tokens, the feed would be too large to poll every 30 s. */
const MAX_REVOKED_TOKENS = 10_000;
/** Limits for each service and for all services together, so that a faulty one leaves room for others and administrators. */
const MAX_OWN = 1_000;
const MAX_BY_SERVICES = 8_000;
/** Revocations by services in one transaction. Administrators wait for at most one of these transactions. */
const MOST_AT_ONCE = 100;
/** Leaves room for the signature and for revoked kids: a key can always be revoked. */
const MAX_FEED_BYTES = LIMITS.feedBytes - 65_536;
/** Characters that every verifier reads the same way, and a length of which the feed can hold 10,000. */
const LISTABLE_JTI = /^[\x20-\x7e]{1,64}$/;
const MAX_SERVICE_LENGTH = 256;
/** The maximum lag of an instance's clock behind the store's clock, which is the time of a response. Milliseconds. */
const CLOCK_LAG = 100;

/** A token, or its jti if the token itself is not available. */
export type TokenToRevoke =
  | { readonly token: string }
  | {
      readonly jti: string;
      /** The token's `exp`, seconds since the epoch; undefined: unknown, so the revocation is kept indefinitely. */
      readonly expiresAt: number | undefined;
    };

interface ListedToken {
  readonly jti: string;
  readonly expiresAt: number;
}

export interface Revoke {
  /** @returns the feed entry; it expires later than requested if the jti was already in the feed with a later date */
  token(appId: string, which: TokenToRevoke): Promise<ChangeResult<ListedToken>>;
  /**
   * Revokes a token for the service that it was issued to. Limits for services are lower than for administrators.
   *
   * @returns in addition `roomAt` if the feed is full: when it has room again, seconds since the epoch
   */
  ownToken(appId: string, service: string, token: string): Promise<ChangeResult<ListedToken> & { roomAt?: number }>;
  /** Revokes all tokens issued to the service so far. Tokens issued after this resolves are not affected. */
  service(appId: string, service: string): Promise<ChangeResult<{ service: string; notBefore: number }>>;
}

/** @param pause waits for the given number of milliseconds */
export function createRevoke(store: Store, state: InstanceState, pause: (ms: number) => Promise<unknown>): Revoke {
  const listInBatches = inBatches(MOST_AT_ONCE, list);

  return Object.freeze<Revoke>({
    async token(appId, which) {
      await state.refresh(); // another instance might have just created the token's key
      const found = "token" in which ? findToken(appId, which.token) : toEntry(which.jti, which.expiresAt);
      if (!found.ok) return found;
      const [listed] = await list([{ appId, ...found.value }]);
      return "until" in listed! ? listedToken(found.value.jti, listed.until) : full(INSTEAD_OF_TOKEN);
    },

    async ownToken(appId, service, token) {
      await state.refresh();
      const found = findToken(appId, token);
      if (!found.ok) return found;
      const listed = await listInBatches({ appId, ...found.value, service });
      if ("until" in listed) return listedToken(found.value.jti, listed.until);
      return { ...full(INSTEAD_OF_TOKEN), roomAt: listed.roomAt };
    },

    async service(appId, service) {
      // Some verifiers end a name at its first NUL. The core issues no token with such a name.
      if (service === "" || service.length > MAX_SERVICE_LENGTH || service.includes("\0")) {
        const problem = `service: expected a name of 1 to ${MAX_SERVICE_LENGTH} characters without NUL`;
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
      // A token issued in the same second would have the same `iat` and count as revoked, so wait for the next second.
      await pause(Math.max(0, (notBefore + 1) * 1000 - state.now()) + CLOCK_LAG);
      return { ok: true, value: { service, notBefore } };
    },
  });

  /** Adds tokens of any apps to their feeds in one transaction. */
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

  /** Reads a token that a key of this app signed. */
  function findToken(appId: string, token: string): ChangeResult<ListedToken> {
    const decoded = decodeJwt(token);
    if (!decoded.ok) return { ok: false, status: 400, problem: "token: expected a JWT" };
    const { header, signingInput, signature, claims } = decoded.jwt;
    const key = state.keysOf(appId).find((one) => one.kid === header.kid);
    if (key === undefined || !verifiesUnder(key, signingInput, signature)) {
      return { ok: false, status: 404, problem: "token: not issued by this app" };
    }
    const { jti, exp } = claims;
    if (typeof jti !== "string" || typeof exp !== "number") {
      return { ok: false, status: 400, problem: `token: has no jti or exp; ${INSTEAD_OF_TOKEN}` };
    }
    return toEntry(jti, exp);
  }

  function toEntry(jti: string, expiresAt: number = LIMITS.numericDate): ChangeResult<ListedToken> {
    if (!LISTABLE_JTI.test(jti)) {
      const problem = `jti: expected 1 to 64 printable ASCII characters; ${INSTEAD_OF_TOKEN}`;
      return { ok: false, status: 400, problem };
    }
    if (expiresAt <= state.now() / 1000 - LIMITS.clockTolerance) {
      return { ok: false, status: 404, problem: "token: already expired, verifiers reject it" };
    }
    return { ok: true, value: { jti, expiresAt } };
  }
}

/** When the token's feed entry expires, or when the feed has room for it; seconds since the epoch. */
type Listed = { readonly until: number } | { readonly roomAt: number };

/**
 * Adds tokens to an app's feed, within the limits on numbers. If the feed would become too large, adds no new token.
 * Must be called with the store locked.
 */
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
    const group = before === undefined ? fullGroup(listed, one) : undefined;
    if (group !== undefined) {
      results.set(one, { roomAt: roomAfter(group) });
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

/** Returns the entries that use up a limit for this token, or undefined if it is within all limits. */
function fullGroup(listed: readonly RevokedToken[], { service }: RevokedToken): readonly RevokedToken[] | undefined {
  if (service !== undefined) {
    const own = listed.filter((one) => one.service === service);
    if (own.length >= MAX_OWN) return own;
    const ofServices = listed.filter((one) => one.service !== undefined);
    if (ofServices.length >= MAX_BY_SERVICES) return ofServices;
  }
  return listed.length >= MAX_REVOKED_TOKENS ? listed : undefined;
}

/** Returns when the first of these entries is deleted, seconds since the epoch. */
function roomAfter(entries: readonly RevokedToken[]): number {
  const first = entries.reduce((earliest, { expiresAt }) => Math.min(earliest, expiresAt), LIMITS.numericDate);
  return first + LIMITS.clockTolerance + 1;
}

function listedToken(jti: string, expiresAt: number): { ok: true; value: ListedToken } {
  return { ok: true, value: { jti, expiresAt } };
}

/** Reports whether a feed with these entries is small enough for verifiers. Must be called with the store locked. */
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
  return { ok: false, status: 409, problem: `the revocation feed is full; ${instead}` };
}
