import type { JwtHeader } from "./jwt.ts";
import { REASONS, type Reason, type RefusalStatus } from "./reasons.ts";
import type { JsonObject } from "./strict-json.ts";

/**
 * The caller: the facts of a verified token. Deep-frozen. The objects in `claims` and `header` have no prototype, so
 * reading a property never returns anything that is not in the token.
 */
export interface Caller {
  /** The calling service: the `sub` claim, otherwise the `service` claim; undefined if neither is a string. */
  readonly service: string | undefined;
  /** The scopes of the token: its `scope` claim, split (RFC 6749 section 3.3). */
  readonly scopes: readonly string[];
  readonly claims: Readonly<JsonObject>;
  readonly header: Readonly<JwtHeader>;
}

export type Decision = { readonly allowed: true; readonly caller: Caller } | Refusal;

export interface Refusal {
  readonly allowed: false;
  readonly reason: Reason;
  readonly status: RefusalStatus;
  /** With `insufficient_scope`: all required scopes, separated by spaces. */
  readonly scope?: string | undefined;
}

/** @param scope with `insufficient_scope`: all required scopes, separated by spaces */
export function refuse(reason: Reason, scope?: string): Refusal {
  return Object.freeze({ allowed: false, reason, status: REASONS[reason].status, ...(scope && { scope }) });
}
