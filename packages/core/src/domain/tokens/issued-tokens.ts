/** How many tokens were issued, by when they expire: seconds since the epoch, as everywhere in here. */
export type IssuedTokens = Map<number, number>;

/** More entries than unexpired tokens can need: 32 to 64 for every power of two that their lives can have. */
const TIDY_ABOVE = 4_096;

/** Remembers the `exp` to a 32nd of the token's life, so that the entries stay few however many tokens there are. */
export function countIssued(issued: IssuedTokens, iat: number, exp: number): void {
  const step = 2 ** Math.floor(Math.log2(Math.max(1, (exp - iat) / 32)));
  const until = exp - (exp % step);
  issued.set(until, (issued.get(until) ?? 0) + 1);
  if (issued.size > TIDY_ABOVE) countUnexpired(issued, iat);
}

/** How many have not expired: never more than there are. Forgets the others. */
export function countUnexpired(issued: IssuedTokens, now: number): number {
  let unexpired = 0;
  for (const [until, count] of issued) {
    if (until > now) unexpired += count;
    else issued.delete(until);
  }
  return unexpired;
}
