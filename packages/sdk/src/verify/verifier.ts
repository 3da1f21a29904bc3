import { systemClock, watchClock, type Clock } from "../runtime/clock.ts";
import { emitTo, type OnVerifierEvent } from "../telemetry/events.ts";
import type { KeyLookup, KeySetHealth } from "../jwks/key-set.ts";
import { onlyField, readBearerToken } from "../protocol/bearer.ts";
import { failedCheck, mistypedClaim, scopesOf, type ClaimRules } from "../protocol/claims.ts";
import { refuse, type Caller, type Decision } from "../protocol/decision.ts";
import { decodeJwt, type DecodedJwt } from "../protocol/jwt.ts";
import * as LIMITS from "../protocol/limits.ts";
import type { Reason } from "../protocol/reasons.ts";
import { isRevoked, type Revocations } from "../protocol/revocations.ts";
import { documentsOf, type IssuerDocuments } from "./issuer-documents.ts";
import type { FeedHealth } from "../revocation/revocation-feed.ts";
import { verifySignature, type ImportedKey } from "../crypto/signature.ts";
import { createEmitRefusal, type EmitRefusal, type KnownIssuer, type TokenFacts } from "./refusal-events.ts";
import { createVerifiedTokens, type VerifiedToken } from "./verified-tokens.ts";
import { resolveVerifierOptions, type VerifierOptions } from "./verifier-options.ts";

/** Verifies tokens locally. */
export interface Verifier {
  /** Decides about a token. Never rejects, for any argument. */
  verify(token: unknown): Promise<Decision>;
  /**
   * Decides about a request by all values of its Authorization header, one per field (`headersDistinct` of node:http).
   * Also returns 400 for two values or a malformed one, and 401 for none (RFC 6750 section 3.1). Never rejects.
   */
  verifyAuthorization(fields: string | readonly string[] | undefined): Promise<Decision>;
  /** Returns the state of keys and revocations, for readiness probes and metrics. */
  health(): VerifierHealth;
  /** Stops refreshing keys and revocations in the background. */
  close(): void;
}

export interface VerifierHealth {
  /** True if usable keys of every issuer are cached. The first call of `health` starts to fetch them. */
  readonly ready: boolean;
  readonly issuers: readonly IssuerHealth[];
}

export interface IssuerHealth {
  /** The source of its keys: a URL, or the core. */
  readonly source: string;
  readonly keys: KeySetHealth;
  /** Undefined: revocation is off. */
  readonly revocations: FeedHealth | undefined;
}

/**
 * Creates a verifier that fetches keys from `jwksUri`, or discovers them through `issuer`.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * const verifier = createVerifier({ jwksUri: "https://core.internal/.well-known/jwks.json" });
 * const decision = await verifier.verify(token);
 * if (decision.allowed) console.log(decision.caller.service);
 */
export function createVerifier(options: VerifierOptions): Verifier {
  return buildVerifier(options, undefined, systemClock);
}

/** @param known documents of an instance, used if the options name no source; `close` leaves them open */
export function buildVerifier(options: VerifierOptions, known: IssuerDocuments | undefined, clock: Clock): Verifier {
  const resolved = resolveVerifierOptions(options);
  const emit = emitTo(options.onEvent);
  const issuers = resolved.map((issuer) => ({ ...issuer, ...documentsOf(issuer, known, clock, emit) }));
  const verification = new Verification(issuers, emit, clock);
  return Object.freeze({
    verify: (token: unknown) => verification.decide(token),
    verifyAuthorization: (fields: Fields) => verification.decideByHeader(fields),
    health: () => healthOf(issuers, clock),
    close() {
      for (const { keySet, feed } of issuers) {
        if (keySet !== known?.keySet) keySet.close();
        if (feed !== known?.feed) feed?.close();
      }
    },
  });
}

type Fields = string | readonly string[] | undefined;

class Verification {
  readonly #only: KnownIssuer | undefined;
  readonly #byName: ReadonlyMap<unknown, KnownIssuer>;
  readonly #cache = createVerifiedTokens<KnownIssuer>();
  readonly #emitRefusal: EmitRefusal;
  readonly #noteTime: (wall: number, monotonic: number) => void;
  readonly #clock: Clock;

  constructor(issuers: readonly KnownIssuer[], emit: OnVerifierEvent, clock: Clock) {
    this.#only = issuers.length === 1 ? issuers[0] : undefined;
    this.#byName = new Map(issuers.map((issuer) => [issuer.rules.issuer, issuer]));
    this.#emitRefusal = createEmitRefusal(emit, clock);
    this.#noteTime = watchClock((seconds) => emit({ type: "clock_jumped", seconds }));
    this.#clock = clock;
  }

  decide(token: unknown): Promise<Decision> {
    return (typeof token === "string" ? this.#decideFromCache(token) : undefined) ?? this.#verify(token);
  }

  decideByHeader(fields: Fields): Promise<Decision> {
    // Tries the cache first, because parsing the field costs as much as all other work on a cached token.
    const field = onlyField(fields);
    const isBearer = typeof field === "string" && field.startsWith("Bearer ");
    const cached = isBearer ? this.#decideFromCache(field.slice(7)) : undefined;
    if (cached !== undefined) return cached;
    const bearer = readBearerToken(fields);
    return bearer.ok ? this.#verify(bearer.token) : this.#refuse(bearer.reason);
  }

  /** Decides about a cached token, and checks again what can have changed. Undefined: the token must be verified. */
  #decideFromCache(token: string): Promise<Decision> | undefined {
    const [wall, monotonic] = [this.#clock.now(), this.#clock.monotonic()];
    this.#noteTime(wall, monotonic);
    const cached = token.length <= LIMITS.tokenLength ? this.#cache.get(token) : undefined;
    if (cached === undefined) return undefined;
    const { caller, issuer } = cached;
    if (monotonic >= cached.expiresAt) return this.#refuse("token_expired", caller, issuer);
    if (isOverdue(issuer, monotonic)) return undefined; // verifying waits for the fetch
    if (!isStillVerified(cached, monotonic)) {
      this.#cache.delete(cached);
      return undefined;
    }
    const failed = failedCheck(caller.claims, issuer.enforced, secondsOf(wall));
    if (failed !== undefined) return this.#refuse(failed, caller, issuer);
    this.#reportUnenforced(caller, issuer);
    return cached.allowed;
  }

  /** Verifies a token that is not in the cache. Each step either continues or returns the reason for rejection. */
  #verify(token: unknown): Promise<Decision> {
    const decoded = decodeJwt(token);
    if (!decoded.ok) return this.#refuse(decoded.reason);
    const { jwt } = decoded;
    const issuer = this.#issuerOf(jwt);
    if (issuer === undefined) return this.#refuse("issuer_mismatch", jwt);
    if (!issuer.algorithms.has(jwt.algorithm)) return this.#refuse("algorithm_not_allowed", jwt, issuer);
    const key = this.#findKey(jwt, issuer);
    // Awaiting a key that is already known would cost more than checking the claims.
    return key instanceof Promise
      ? key.then((found) => this.#verifyWith(found, token as string, jwt, issuer))
      : this.#verifyWith(key, token as string, jwt, issuer);
  }

  #verifyWith(key: KeyLookup, token: string, jwt: DecodedJwt, issuer: KnownIssuer): Promise<Decision> {
    if (typeof key === "string") return this.#refuse(reasonOfMissingKey(key), jwt, issuer);
    const badSignature = failedSignature(jwt, key);
    if (badSignature !== undefined) return this.#refuse(badSignature, jwt, issuer);
    const [wall, monotonic] = [this.#clock.now(), this.#clock.monotonic()];
    const revocations = issuer.feed?.current(monotonic);
    const badClaims = failedClaims(jwt, issuer.enforced, revocations, secondsOf(wall));
    if (badClaims !== undefined) return this.#refuse(badClaims, jwt, issuer);
    this.#reportUnenforced(jwt, issuer);
    const caller = callerOf(jwt);
    const allowed = Promise.resolve<Decision>(Object.freeze({ allowed: true, caller }));
    const expiresAt = monotonic + ((jwt.claims["exp"] as number) + issuer.rules.clockTolerance) * 1000 - wall;
    this.#cache.set({ token, caller, allowed, issuer, key, revocations, expiresAt }, jwt.signature);
    return allowed;
  }

  #issuerOf({ claims }: DecodedJwt): KnownIssuer | undefined {
    return this.#only ?? this.#byName.get(claims["iss"]);
  }

  /** Finds the key that the header names, and fetches overdue revocations at the same time. */
  #findKey({ header }: DecodedJwt, { keySet, feed, maxStale }: KnownIssuer): KeyLookup | Promise<KeyLookup> {
    const now = this.#clock.monotonic();
    const news = feed?.news(now);
    const found = keySet.find(header.kid, maxStale, now);
    return news === undefined ? found : Promise.all([found, news]).then(([key]) => key);
  }

  async #refuse(reason: Reason, token?: TokenFacts, issuer?: KnownIssuer): Promise<Decision> {
    this.#emitRefusal("refused", reason, token, issuer);
    return refuse(reason, reason === "insufficient_scope" ? issuer?.rules.scope.join(" ") : undefined);
  }

  /** Reports an accepted token that the rules would reject without `reportOnly`. */
  #reportUnenforced(token: TokenFacts, issuer: KnownIssuer): void {
    if (issuer.enforced === issuer.rules) return;
    const reason = failedCheck(token.claims, issuer.rules, secondsOf(this.#clock.now()));
    if (reason !== undefined) this.#emitRefusal("would_refuse", reason, token, issuer);
  }
}

export function reasonOfMissingKey(lookup: "unavailable" | "unknown"): Reason {
  return lookup === "unavailable" ? "keys_unavailable" : "key_unknown";
}

/** Returns why the signature is rejected. */
function failedSignature({ algorithm, signingInput, signature }: DecodedJwt, key: ImportedKey): Reason | undefined {
  // The key determines the algorithm; a header that disagrees is an attack (RFC 8725 section 3.1).
  if (key.algorithm !== algorithm) return "algorithm_not_allowed";
  return verifySignature(key, signingInput, signature) ? undefined : "signature_invalid";
}

/** Returns why claims with a valid signature are rejected. */
function failedClaims(
  { claims, header }: DecodedJwt,
  rules: ClaimRules,
  revocations: Revocations | undefined,
  now: number,
): Reason | undefined {
  if (mistypedClaim(claims) !== undefined) return "claims_malformed";
  // Before the required claims, because an optional route accepts tokens that fail only those.
  if (revocations !== undefined && isRevoked(revocations, header.kid, claims)) return "token_revoked";
  return failedCheck(claims, rules, now);
}

function isOverdue({ keySet, feed }: KnownIssuer, monotonic: number): boolean {
  return keySet.isOverdue(monotonic) || feed?.isOverdue(monotonic) === true;
}

/** Reports whether the key of a cached token is still in the key set, and neither is revoked. */
function isStillVerified(cached: VerifiedToken<KnownIssuer>, monotonic: number): boolean {
  const { caller, issuer, key } = cached;
  if (issuer.keySet.peek(key.kid, issuer.maxStale, monotonic) !== key) return false;
  const revocations = issuer.feed?.current(monotonic);
  if (revocations === cached.revocations) return true;
  cached.revocations = revocations;
  return revocations === undefined || !isRevoked(revocations, key.kid, caller.claims);
}

function callerOf({ claims, header }: TokenFacts): Caller {
  const name = claims["sub"] ?? claims["service"];
  const service = typeof name === "string" ? name : undefined;
  return Object.freeze({ service, scopes: Object.freeze(scopesOf(claims)), claims, header });
}

function healthOf(issuers: readonly KnownIssuer[], clock: Clock): VerifierHealth {
  const all = issuers.map(({ keySet, feed, maxStale }) => {
    keySet.warm();
    void feed?.news(clock.monotonic());
    return { source: keySet.source.name, keys: keySet.health(maxStale), revocations: feed?.health() };
  });
  return { ready: all.every(({ keys }) => keys.usable), issuers: all };
}

function secondsOf(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
