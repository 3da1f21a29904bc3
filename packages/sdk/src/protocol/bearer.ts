import * as LIMITS from "./limits.ts";
import type { Reason } from "./reasons.ts";

/** Exactly `Bearer` SP token68 (RFC 6750 section 2.1, RFC 9110 section 11.2); the scheme in upper or lower case. */
const BEARER = /^bearer ([A-Za-z0-9\-._~+/]+=*)$/i;
const BEARER_SCHEME = /^bearer(?:[^A-Za-z0-9]|$)/i;

export type BearerToken =
  | { ok: true; token: string }
  | { ok: false; reason: Extract<Reason, "token_missing" | "authorization_malformed" | "token_too_large"> };

/**
 * Reads the token from the `Authorization` fields of a request. Never throws, for any input.
 *
 * @param fields every Authorization field of the request, unsplit. Two are rejected, because servers disagree about which
 * one counts
 */
export function readBearerToken(fields: string | readonly string[] | undefined): BearerToken {
  const field = onlyField(fields);
  if (field === undefined || field === null) return { ok: false, reason: "token_missing" };
  if (typeof field !== "string") return { ok: false, reason: "authorization_malformed" };
  // A longer field cannot contain a valid token, so only its scheme is read.
  const isTooLong = field.length - "Bearer ".length > LIMITS.tokenLength;
  const token = isTooLong ? undefined : BEARER.exec(field)?.[1];
  if (token !== undefined) return { ok: true, token };
  if (!BEARER_SCHEME.test(field)) return { ok: false, reason: "token_missing" };
  return { ok: false, reason: isTooLong ? "token_too_large" : "authorization_malformed" };
}

/** Returns the only field, or `false` if there are several or reading them throws. */
export function onlyField(fields: unknown): unknown {
  try {
    if (!Array.isArray(fields)) return fields;
    return fields.length > 1 ? false : (fields[0] as unknown);
  } catch {
    return false;
  }
}
