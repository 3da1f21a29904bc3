/** The number of issued tokens by expiry. All times in this file are seconds since the epoch. */
export type IssuedTokens = Map<number, number>;

/** Unexpired tokens need fewer entries: 32 to 64 for every power of two that lifetimes can have. */
const TIDY_ABOVE = 4_096;

/** Rounds `exp` down to 1/32 of the token's lifetime, which limits the number of entries for any number of tokens. */
export function countIssued(issued: IssuedTokens, iat: number, exp: number): void {
  const step = 2 ** Math.floor(Math.log2(Math.max(1, (exp - iat) / 32)));
  const until = exp - (exp % step);
  issued.set(until, (issued.get(until) ?? 0) + 1);
  if (issued.size > TIDY_ABOVE) countUnexpired(issued, iat);
}

/** Returns a lower bound of the number of unexpired tokens. Deletes the other entries. */
export function countUnexpired(issued: IssuedTokens, now: number): number {
  let unexpired = 0;
  for (const [until, count] of issued) {
    if (until > now) unexpired += count;
    else issued.delete(until);
  }
  return unexpired;
}
