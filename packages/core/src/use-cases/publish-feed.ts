import { createHash } from "node:crypto";
import type { KeyRing } from "./key-ring.ts";
import { signJws } from "./private-keys.ts";
import type { StoredKey } from "../ports/store.ts";

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
export function createPublishFeed(keyRing: KeyRing): PublishFeed {
  const published = new Map<string, { content: string; document: Promise<FeedDocument> }>();
  return async (appId) => {
    const signer = signerOfFeed(keyRing, appId);
    if (signer === undefined) return undefined;
    const feed = keyRing.feedOf(appId);
    const content = `${signer.kid} ${JSON.stringify(feed)}`;
    let kept = published.get(appId);
    if (kept?.content !== content) {
      kept = { content, document: sign(signer, feed, content) };
      published.set(appId, kept);
      kept.document.catch(() => published.delete(appId));
    }
    return kept.document;
  };

  async function sign(signer: StoredKey, feed: object, content: string): Promise<FeedDocument> {
    const header = { alg: signer.algorithm, typ: "revocations+jwt", kid: signer.kid };
    const claims = { iat: Math.floor(keyRing.now() / 1000), ...feed };
    const body = await signJws(signer.algorithm, await keyRing.privateKeyOf(signer), header, claims);
    return { body, etag: `"${createHash("sha256").update(content).digest("base64url").slice(0, 22)}"` };
  }
}

/** The static key, which every verifier knows the longest; RSA first, as some know no other. */
function signerOfFeed(keyRing: KeyRing, appId: string): StoredKey | undefined {
  for (const algorithm of ["RS256", "ES256", "Ed25519"] as const) {
    const signer = keyRing.signer(appId, "static", algorithm);
    if (signer !== undefined) return signer;
  }
  return undefined;
}
