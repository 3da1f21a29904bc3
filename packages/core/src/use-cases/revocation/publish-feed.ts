import { createHash } from "node:crypto";
import type { RevocationFeed } from "../../domain/revocation/revocation-feed.ts";
import type { StoredKey } from "../../ports/store.ts";
import type { InstanceState, SignableFeed } from "../../state/instance-state.ts";
import { signJws } from "../../crypto/jws.ts";

/** The revocation feed, ready to be sent. */
export interface FeedDocument {
  /** A compact JWS (RFC 7515) with `typ: revocations+jwt`. */
  readonly body: string;
  readonly etag: string;
}

/** @returns undefined where nothing can sign it */
export type PublishFeed = (appId: string) => Promise<FeedDocument | undefined>;

/**
 * Signs an app's feed when what it says has changed, and gives the same document until then. A live key
 * signs it, so never one that it lists.
 */
export function createPublishFeed(state: InstanceState): PublishFeed {
  /** The key ring gives the same object until something changes. */
  const published = new WeakMap<SignableFeed, Promise<FeedDocument>>();
  return async (appId) => {
    const feed = state.feedOf(appId);
    if (feed?.signer === undefined) return undefined;
    let document = published.get(feed);
    if (document === undefined) {
      document = sign(feed.signer, feed.claims);
      published.set(feed, document);
      document.catch(() => published.delete(feed));
    }
    return document;
  };

  async function sign(signer: StoredKey, feed: RevocationFeed): Promise<FeedDocument> {
    const header = { alg: signer.algorithm, typ: "revocations+jwt", kid: signer.kid };
    const claims = { iat: Math.floor(state.now() / 1000), ...feed };
    const body = await signJws(signer.algorithm, await state.privateKeyOf(signer), header, claims);
    const content = `${signer.kid} ${JSON.stringify(feed)}`;
    return { body, etag: `"${createHash("sha256").update(content).digest("base64url").slice(0, 22)}"` };
  }
}

/** Bytes of the part of a feed that grows, as it is sent (RFC 7515 section 3.1). */
export function lengthOfFeed(feed: RevocationFeed): number {
  return Math.ceil((Buffer.byteLength(JSON.stringify(feed)) * 4) / 3);
}
