import type { Reason } from "./decision.ts";

/** `Bearer` SP token68 and nothing around it (RFC 6750 section 2.1, RFC 9110 section 11.2); the scheme in any case. */
const BEARER = /^bearer ([A-Za-z0-9\-._~+/]+=*)$/i;
const BEARER_SCHEME = /^bearer(?:[^A-Za-z0-9]|$)/i;

export type BearerToken =
  { ok: true; token: string } | { ok: false; reason: Extract<Reason, "token_missing" | "authorization_malformed"> };

/**
 * Reads the token out of a request's `Authorization` fields.
 *
 * @param fields every Authorization field of the request, undivided: two are refused, because
 *   servers disagree about which one counts
 */
export function readBearerToken(fields: string | readonly string[] | undefined): BearerToken {
  const all: readonly unknown[] = Array.isArray(fields) ? fields : [fields];
  const [field] = all;
  if (field === undefined || field === null) return { ok: false, reason: "token_missing" };
  if (all.length > 1 || typeof field !== "string") return { ok: false, reason: "authorization_malformed" };
  const token = BEARER.exec(field)?.[1];
  if (token !== undefined) return { ok: true, token };
  return { ok: false, reason: BEARER_SCHEME.test(field) ? "authorization_malformed" : "token_missing" };
}
