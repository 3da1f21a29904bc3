import { systemClock, watchClock, type Clock } from "../runtime/clock.ts";
import { emitTo, type RefusalDetails } from "../telemetry/events.ts";
import type { KeyLookup, KeySetHealth } from "../jwks/key-set.ts";
import { onlyField, readBearerToken } from "../protocol/bearer.ts";
import { CLAIM_CHECKS, failedCheck, mistypedClaim, scopesOf, seenBy } from "../protocol/claims.ts";
import { refuse, type Caller, type Decision } from "../protocol/decision.ts";
import type { Reason } from "../protocol/reasons.ts";
import { decodeJwt, type DecodedJwt } from "../protocol/jwt.ts";
import * as LIMITS from "../protocol/limits.ts";
import { isRevoked } from "../protocol/revocations.ts";
import { documentsOf, type IssuerDocuments } from "./issuer-documents.ts";
import type { FeedHealth } from "../revocation/revocation-feed.ts";
import { verifySignature } from "../crypto/signature.ts";
import { createTokenCache, type VerifiedToken } from "./verified-tokens.ts";
import { resolveVerifierOptions, type ResolvedIssuer, type VerifierOptions } from "./verifier-options.ts";

/** Decides about tokens, locally. */
export interface Verifier {
  /** Never rejects, whatever is passed in. */
  verify(token: unknown): Promise<Decision>;
  /**
   * Decides about a request by its Authorization fields, all of them, undivided (`headersDistinct` of
   * node:http): also says 400 for two of them or for bad grammar, and 401 for none. Never rejects.
   */
  verifyAuthorization(fields: string | readonly string[] | undefined): Promise<Decision>;
  /** What a readiness probe and a metric want to know. */
  health(): VerifierHealth;
  /** Stops refreshing keys and revocations in the background. */
  close(): void;
}

export interface VerifierHealth {
  /** Whether there are keys of every issuer to verify with. The first time it is asked, they begin to be fetched. */
  readonly ready: boolean;
  readonly issuers: readonly IssuerHealth[];
}

export interface IssuerHealth {
  /** Where its keys come from. */
  readonly source: string;
  readonly keys: KeySetHealth;
  /** Undefined: none are read. */
  readonly revocations: FeedHealth | undefined;
}

type Trusted = ResolvedIssuer & IssuerDocuments;

/**
 * Makes a verifier that fetches keys from `jwksUri`, or finds them through `issuer`.
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

/** @param known what to use where the options name no source: an instance's own, which outlives the verifier */
export function buildVerifier(options: VerifierOptions, known: IssuerDocuments | undefined, clock: Clock): Verifier {
  const trusts = resolveVerifierOptions(options);
  const emit = emitTo(options.onEvent);
  const trusted = trusts.map((trust) => ({ ...trust, ...documentsOf(trust, known, clock, emit) }));
  const only = trusted.length === 1 ? trusted[0] : undefined;
  const byIssuer = new Map<unknown, Trusted>(trusted.map((trust) => [trust.rules.issuer, trust]));
  const cache = createTokenCache<Trusted>();
  const noteTime = watchClock((seconds) => emit({ type: "clock_jumped", seconds }));

  function verify(token: unknown): Promise<Decision> {
    return (typeof token === "string" ? recall(token) : undefined) ?? verifyAnew(token);
  }

  /** A token that was verified before: what may have changed since is looked at again, each time. */
  function recall(token: string): Promise<Decision> | undefined {
    const [wall, monotonic] = [clock.now(), clock.monotonic()];
    noteTime(wall, monotonic);
    const kept = token.length <= LIMITS.tokenLength ? cache.get(token) : undefined;
    if (kept === undefined) return undefined;
    const { caller, trust } = kept;
    if (monotonic >= kept.endsAt) return refuseAndTell("token_expired", caller, trust);
    if (trust.keySet.isOverdue(monotonic) || trust.feed?.isOverdue(monotonic) === true) {
      return undefined; // it waits for news, and is then looked at anew
    }
    if (!stillStands(kept, monotonic)) {
      cache.delete(kept);
      return undefined;
    }
    const failed = failedCheck(caller.claims, trust.enforced, Math.floor(wall / 1000));
    if (failed !== undefined) return refuseAndTell(failed, caller, trust);
    report(caller, trust);
    return kept.allowed;
  }

  /** The story of a token at its callee. Each step either goes on or names its reason. */
  function verifyAnew(token: unknown): Promise<Decision> {
    const decoded = decodeJwt(token);
    if (!decoded.ok) return refuseAndTell(decoded.reason);
    const { jwt } = decoded;
    const trust = only ?? byIssuer.get(jwt.claims["iss"]);
    if (trust === undefined) return refuseAndTell("issuer_mismatch", jwt);
    if (!trust.algorithms.has(jwt.algorithm)) return refuseAndTell("algorithm_not_allowed", jwt, trust);
    const now = clock.monotonic();
    const news = trust.feed?.news(now); // begun beside the keys
    const found = trust.keySet.find(jwt.header.kid, trust.maxStale, now);
    // Mostly there is nothing to wait for, and waiting for nothing costs more than the claims.
    if (news === undefined && !(found instanceof Promise)) return judge(token as string, jwt, trust, found);
    return Promise.all([found, news]).then(([key]) => judge(token as string, jwt, trust, key));
  }

  function judge(token: string, jwt: DecodedJwt, trust: Trusted, key: KeyLookup): Promise<Decision> {
    const { claims, header, algorithm, signingInput, signature } = jwt;
    if (key === "unavailable") return refuseAndTell("keys_unavailable", jwt, trust);
    if (key === "unknown") return refuseAndTell("key_unknown", jwt, trust);
    // The key says how it is used; a header that says otherwise is an attack (RFC 8725 section 3.1).
    if (key.algorithm !== algorithm) return refuseAndTell("algorithm_not_allowed", jwt, trust);
    if (!verifySignature(key, signingInput, signature)) return refuseAndTell("signature_invalid", jwt, trust);
    if (mistypedClaim(claims) !== undefined) return refuseAndTell("claims_malformed", jwt, trust);
    const [wall, monotonic] = [clock.now(), clock.monotonic()];
    const revocations = trust.feed?.current(monotonic);
    // Before what a door asks for: an optional route goes on with a token of which all else is good.
    const isGone = revocations !== undefined && isRevoked(revocations, header.kid, claims);
    const failed = isGone ? "token_revoked" : failedCheck(claims, trust.enforced, Math.floor(wall / 1000));
    if (failed !== undefined) return refuseAndTell(failed, jwt, trust);
    report(jwt, trust);
    const caller = callerOf(jwt);
    const decision: Decision = Object.freeze({ allowed: true, caller });
    const endsAt = monotonic + ((claims["exp"] as number) + trust.rules.clockTolerance) * 1000 - wall;
    const allowed = Promise.resolve(decision);
    cache.set({ token, caller, allowed, trust, key, revocations, endsAt }, signature);
    return allowed;
  }

  function stillStands(kept: VerifiedToken<Trusted>, monotonic: number): boolean {
    const { caller, trust, key } = kept;
    if (trust.keySet.peek(key.kid, trust.maxStale, monotonic) !== key) return false;
    const revocations = trust.feed?.current(monotonic);
    if (revocations === kept.revocations) return true;
    kept.revocations = revocations;
    return revocations === undefined || !isRevoked(revocations, key.kid, caller.claims);
  }

  async function refuseAndTell(reason: Reason, jwt?: Facts, trust?: Trusted): Promise<Decision> {
    tell("refused", reason, jwt, trust);
    return refuse(reason, reason === "insufficient_scope" ? trust?.rules.scope.join(" ") : undefined);
  }

  /** Of one that is let in: what it would be refused for by rules that only tell. */
  function report(jwt: Facts, trust: Trusted): void {
    if (trust.enforced === trust.rules) return;
    const reason = failedCheck(jwt.claims, trust.rules, Math.floor(clock.now() / 1000));
    if (reason !== undefined) tell("would_refuse", reason, jwt, trust);
  }

  function tell(type: "refused" | "would_refuse", reason: Reason, jwt?: Facts, trust?: Trusted): void {
    emit({ type, reason, ...(jwt && detailsOf(reason, jwt, trust, Math.floor(clock.now() / 1000))) });
  }

  return Object.freeze({
    verify,
    verifyAuthorization(fields: string | readonly string[] | undefined): Promise<Decision> {
      // Reading the field by its grammar costs as much as all else that is done with a token that is kept.
      const field = onlyField(fields);
      const kept = typeof field === "string" && field.startsWith("Bearer ") ? recall(field.slice(7)) : undefined;
      if (kept !== undefined) return kept;
      const bearer = readBearerToken(fields);
      return bearer.ok ? verifyAnew(bearer.token) : refuseAndTell(bearer.reason);
    },
    health() {
      const issuers = trusted.map(({ keySet, feed, maxStale }) => {
        keySet.warm();
        void feed?.news(clock.monotonic());
        return { source: keySet.source.name, keys: keySet.health(maxStale), revocations: feed?.health() };
      });
      return { ready: issuers.every(({ keys }) => keys.usable), issuers };
    },
    close() {
      for (const { keySet, feed } of trusted) {
        if (keySet !== known?.keySet) keySet.close();
        if (feed !== known?.feed) feed?.close();
      }
    },
  });
}

type Facts = Pick<DecodedJwt, "claims" | "header">;

function callerOf({ claims, header }: Facts): Caller {
  const name = claims["sub"] ?? claims["service"];
  const service = typeof name === "string" ? name : undefined;
  return Object.freeze({ service, scopes: Object.freeze(scopesOf(claims)), claims, header });
}

const MAX_DETAIL = 256;
/** What a stranger could write to forge a line of a log, or to hide one. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;
/** Refusals that a clock may be the cause of. */
const OF_TIME: readonly Reason[] = ["token_expired", "token_not_yet_valid"];

/** What a refusal is told with: what was wanted and seen, and never the token. */
function detailsOf(reason: Reason, { header, claims }: Facts, trust: Trusted | undefined, now: number): RefusalDetails {
  const check = CLAIM_CHECKS.find((one) => one.reason === reason);
  const isAlgorithm = reason === "algorithm_not_allowed";
  const details: RefusalDetails = {};
  const all = {
    kid: header.kid,
    jti: claims["jti"],
    sub: claims["sub"],
    expected: trust && (isAlgorithm ? [...trust.algorithms].join(" or ") : check?.expected(trust.rules, now)),
    seen: isAlgorithm ? header.alg : check && (trust ? seenBy(check, claims, trust.rules) : claims["iss"]),
  };
  for (const [name, value] of Object.entries(all)) {
    if (value === undefined) continue;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    details[name as keyof typeof all] = text.slice(0, MAX_DETAIL).replace(UNSEEN, "?");
  }
  const offset = OF_TIME.includes(reason) ? trust?.keySet.clockOffset : undefined;
  if (offset !== undefined) details.clockOffsetSeconds = offset;
  return details;
}
