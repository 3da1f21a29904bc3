import { createHash } from "node:crypto";
import type { RevocationFeed } from "../../domain/revocation/revocation-feed.ts";
import type { StoredKey } from "../../ports/store.ts";
import type { InstanceState, SignableFeed } from "../../state/instance-state.ts";
import { signJws } from "../../crypto/jws.ts";

/** A signed revocation feed, ready to send. */
export interface FeedDocument {
  /** A compact JWS (RFC 7515) with `typ: revocations+jwt`. */
  readonly body: string;
  readonly etag: string;
}

/** @returns undefined if the app does not exist or has no key that can sign the feed */
export type PublishFeed = (appId: string) => Promise<FeedDocument | undefined>;

/**
 * Signs an app's feed when its content changes and returns the same document until then. Signs with a valid key, never
 * with one that the feed revokes.
 */
export function createPublishFeed(state: InstanceState): PublishFeed {
  /** Signed documents. The feed object stays the same until something changes. */
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

/** Returns the length of a feed's payload in bytes, encoded for sending (RFC 7515 section 3.1). */
export function lengthOfFeed(feed: RevocationFeed): number {
  return Math.ceil((Buffer.byteLength(JSON.stringify(feed)) * 4) / 3);
}
