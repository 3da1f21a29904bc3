import { REASONS, type Reason } from "./reasons.ts";

const REALM = 'Bearer realm="microservices"';

/**
 * Returns the `WWW-Authenticate` value for a rejected request (RFC 6750 section 3), which names the class of error and no
 * more; undefined if no credential can change the response (503).
 *
 * @param scope with `insufficient_scope`: the required scopes, which the client can request
 */
export function challengeFor(reason: Reason, scope?: string): string | undefined {
  const { status, error } = REASONS[reason];
  if (status === 503) return undefined;
  // A challenge needs at least one parameter (RFC 6750 section 3), so the realm is always there.
  if (error === undefined) return REALM;
  return `${REALM}, error="${error}"${scope === undefined ? "" : `, scope="${scope}"`}`;
}
