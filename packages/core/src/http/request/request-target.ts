import type { IncomingMessage } from "node:http";

/** Characters that the URL standard leaves as they are, in segments other than `.` and `..`. */
const PLAIN_PATH = /^(?:\/(?!\.\.?(?:\/|$))[\w!$&'()*+,.:;=@~-]*)+$/;
const ABSOLUTE = /^https?:\/\//;

/**
 * Returns the path that a request on a socket asks for, as the URL standard resolves it, so that authentication and
 * routing see the same path. Returns `undefined` for an invalid request target or `Host`.
 */
export function pathnameOfRequest({ url = "", headers }: Pick<IncomingMessage, "url" | "headers">): string | undefined {
  if (!ABSOLUTE.test(url) && !isValidHost(headers.host)) return undefined;
  return pathnameOf(url);
}

/** @param target in origin form or absolute form (RFC 9112 section 3.2) */
export function pathnameOf(target: string): string | undefined {
  const query = target.indexOf("?");
  const path = query === -1 ? target : target.slice(0, query);
  if (PLAIN_PATH.test(path)) return path; // a fraction of the cost of a URL
  // The URL standard reads a backslash as a slash, most other programs do not.
  if (path.includes("\\")) return undefined;
  if (path.startsWith("/")) return new URL(`http://core.invalid${target}`).pathname;
  return ABSOLUTE.test(target) && URL.canParse(target) ? new URL(target).pathname : undefined;
}

/** `host` of RFC 3986 section 3.2.2 without percent-encoding, and a port. */
const HOST = /^(?:\[[\da-f:.]+\]|[\w!$&'()*+,.;=~-]+)(?::\d+)?$/i;
let lastValidHost: string | undefined;

/** Clients of a core use few names for it, so the last valid one is mostly this one. */
function isValidHost(host: string | undefined): boolean {
  if (host === undefined) return false;
  if (host === lastValidHost) return true;
  // An invalid IPv4 or punycode label matches the expression (H10).
  if (!HOST.test(host) || !URL.canParse(`http://${host}/`)) return false;
  lastValidHost = host;
  return true;
}
