import { isArrayOfStrings } from "./claims.ts";
import type { JsonObject } from "./strict-json.ts";

/** The content of a revocation feed. */
export interface Revocations {
  /** With `epoch`, the order of feeds. */
  readonly generation: number;
  readonly epoch: number;
  readonly tokens: ReadonlySet<string>;
  /** Each service with the last rejected `iat`, in seconds since the epoch. */
  readonly services: ReadonlyMap<string, number>;
  readonly kids: ReadonlySet<string>;
}

/** Reads the claims of a feed whose signature is valid. @returns undefined if they are not those of a feed */
export function readRevocations(claims: JsonObject): Revocations | undefined {
  const { generation, epoch, tokens, services, kids } = claims;
  if (!isCount(generation) || !isCount(epoch)) return undefined;
  if (!isPairs(tokens) || !isPairs(services)) return undefined;
  if (!isArrayOfStrings(kids)) return undefined;
  return Object.freeze({
    generation,
    epoch,
    tokens: new Set(tokens.map(([jti]) => jti)),
    services: new Map(services),
    kids: new Set(kids),
  });
}

/** The order of feeds and of states of a store: the generation decides, then the epoch. */
type FeedOrder = Pick<Revocations, "generation" | "epoch">;

/** Reports whether `a` comes before `b`. A feed or store that goes backward hides later revocations. */
export function isEarlier(a: FeedOrder, b: FeedOrder): boolean {
  return a.generation === b.generation ? a.epoch < b.epoch : a.generation < b.generation;
}

/** Reports whether a token is revoked: by its `jti`, by its key, or because its service was revoked after its `iat`. */
export function isRevoked({ tokens, services, kids }: Revocations, kid: string, claims: JsonObject): boolean {
  if (kids.has(kid) || tokens.has(claims["jti"] as string)) return true;
  if (services.size === 0) return false;
  const { iat } = claims;
  for (const name of [claims["sub"], claims["service"]]) {
    const notBefore = services.get(name as string);
    // A token without `iat` cannot prove that it was issued after the revocation.
    if (notBefore !== undefined && !(typeof iat === "number" && iat > notBefore)) return true;
  }
  return false;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isPairs(value: unknown): value is [string, number][] {
  if (!Array.isArray(value)) return false;
  return value.every(
    (pair) => Array.isArray(pair) && pair.length === 2 && typeof pair[0] === "string" && isCount(pair[1]),
  );
}
