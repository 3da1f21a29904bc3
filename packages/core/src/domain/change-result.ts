/** Why a change is rejected: 404 not found, 400 invalid, 409 not possible in the current state. */
export interface RefusedChange {
  readonly status: 400 | 404 | 409;
  readonly problem: string;
}

/** What an administrative operation returns: its result, or why it was rejected. */
export type ChangeResult<T> = { ok: true; value: T } | ({ ok: false } & RefusedChange);

export function isRefused(decided: object): decided is RefusedChange {
  return "problem" in decided;
}
