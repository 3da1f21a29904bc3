import { boundedFetch } from "./bounded-fetch.ts";
import { systemClock, type Clock } from "./clock.ts";
import { emitTo, type VerifierEvent } from "./events.ts";
import { KeySet, type KeySetSource } from "./key-set.ts";
import { readBearerToken } from "./protocol/bearer.ts";
import { refusalOfClaims } from "./protocol/claims.ts";
import { refuse, type Caller, type Decision, type Reason } from "./protocol/decision.ts";
import { CountersignError } from "./protocol/errors.ts";
import { decodeJwt, type DecodedJwt } from "./protocol/jwt.ts";
import { LIMITS } from "./protocol/limits.ts";
import { freezeJson, parseStrictJson } from "./protocol/strict-json.ts";
import { verifySignature } from "./signature.ts";
import { checkKeyUrl, resolveVerifierOptions, type Trust, type VerifierOptions } from "./verifier-options.ts";

/** Decides about tokens, locally. */
export interface Verifier {
  /** Never rejects, whatever is passed in. */
  verify(token: unknown): Promise<Decision>;
  /**
   * Decides about a request by its Authorization fields, all of them, undivided (`headersDistinct` of
   * node:http): also says 400 for two of them or for bad grammar, and 401 for none. Never rejects.
   */
  verifyAuthorization(fields: string | readonly string[] | undefined): Promise<Decision>;
  /** Stops refreshing keys in the background. */
  close(): void;
}

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

/** @param known the key set to use where the options name none: an instance's own, which outlives the verifier */
export function buildVerifier(options: VerifierOptions, known: KeySet | undefined, clock: Clock): Verifier {
  const trusts = resolveVerifierOptions(options);
  const emit = emitTo(options.onEvent);
  const trusted = trusts.map((trust) => {
    const source = sourceOf(trust, known !== undefined);
    return { ...trust, keySet: source === undefined ? known! : new KeySet(source, clock, emit) };
  });
  const only = trusted.length === 1 ? trusted[0] : undefined;
  const byIssuer = new Map<unknown, (typeof trusted)[number]>(trusted.map((trust) => [trust.rules.issuer, trust]));

  /** The story of a token at its callee. Each step either goes on or names its reason. */
  async function decide(jwt: DecodedJwt): Promise<Caller | Reason> {
    const trust = only ?? byIssuer.get(jwt.claims["iss"]);
    if (trust === undefined) return "issuer_mismatch";
    if (!trust.algorithms.has(jwt.algorithm)) return "algorithm_not_allowed";
    const key = await trust.keySet.find(jwt.header.kid);
    if (key === "unavailable") return "keys_unavailable";
    if (key === "unknown") return "key_unknown";
    // The key says how it is used; a header that says otherwise is an attack (RFC 8725 section 3.1).
    if (key.algorithm !== jwt.algorithm) return "algorithm_not_allowed";
    if (!verifySignature(key, jwt.signingInput, jwt.signature)) return "signature_invalid";
    return refusalOfClaims(jwt.claims, trust.rules, Math.floor(clock.now() / 1000)) ?? callerOf(jwt);
  }

  function refuseAndTell(reason: Reason, jwt?: DecodedJwt): Decision {
    emit(refusedEvent(reason, jwt));
    return refuse(reason);
  }

  async function verify(token: unknown): Promise<Decision> {
    const decoded = decodeJwt(token);
    if (!decoded.ok) return refuseAndTell(decoded.reason);
    const outcome = await decide(decoded.jwt);
    if (typeof outcome === "string") return refuseAndTell(outcome, decoded.jwt);
    return Object.freeze({ allowed: true, caller: outcome });
  }

  return Object.freeze({
    verify,
    async verifyAuthorization(fields: string | readonly string[] | undefined): Promise<Decision> {
      const bearer = readBearerToken(fields);
      return bearer.ok ? verify(bearer.token) : refuseAndTell(bearer.reason);
    },
    close() {
      for (const { keySet } of trusted) if (keySet !== known) keySet.close();
    },
  });
}

function callerOf({ claims, header }: DecodedJwt): Caller {
  const name = claims["sub"] ?? claims["service"];
  return freezeJson({ service: typeof name === "string" ? name : undefined, claims, header });
}

function refusedEvent(reason: Reason, jwt: DecodedJwt | undefined): VerifierEvent {
  const event: VerifierEvent = { type: "refused", reason };
  if (jwt === undefined) return event;
  event.kid = jwt.header.kid;
  const { jti, sub } = jwt.claims;
  if (typeof jti === "string") event.jti = jti.slice(0, 256);
  if (typeof sub === "string") event.sub = sub.slice(0, 256);
  return event;
}

const FETCH_BOUNDS = { timeout: 5_000, maxBytes: LIMITS.jwksBytes };

/** Undefined: what the instance knows. */
function sourceOf({ jwksUri, allowHttp, rules, listed }: Trust, hasKnown: boolean): KeySetSource | undefined {
  if (jwksUri !== undefined) return keySetAt(jwksUri, async () => placesOf(jwksUri));
  const { issuer } = rules;
  // What the instance knows are the keys of its own core, and none of a listed issuer's.
  if (issuer !== undefined && (listed || !hasKnown)) {
    checkKeyUrl(issuer, allowHttp, "issuer");
    return keySetAt(issuer, async () => placesOf(await discoverKeySet(issuer, allowHttp)));
  }
  if (hasKnown) return undefined;
  throw new CountersignError(
    "invalid_option",
    "jwksUri: expected the URL of a key set, or an issuer to find it through",
  );
}

/** A key set over HTTP. */
export function keySetAt(name: string, places: KeySetSource["places"]): KeySetSource {
  return {
    name,
    places,
    get: (place) => boundedFetch(fetch, place, { headers: { accept: "application/json" } }, FETCH_BOUNDS),
  };
}

/** A `jwks.json` holds RSA keys only; where its source has the full set, that stands beside it. */
export function placesOf(jwksUri: string): readonly string[] {
  const url = new URL(jwksUri);
  if (!url.pathname.endsWith("/jwks.json")) return [jwksUri];
  url.pathname = url.pathname.replace(/jwks\.json$/, "jwks-all.json");
  return [url.href, jwksUri];
}

/** OpenID Connect Discovery 1.0 section 4. The document must be the issuer's own (section 4.3). */
async function discoverKeySet(issuer: string, allowHttp: boolean): Promise<string> {
  const address = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const { status, text } = await boundedFetch(
    fetch,
    address,
    { headers: { accept: "application/json" } },
    FETCH_BOUNDS,
  );
  if (status !== 200) throw new Error(`${address} was answered with status ${status}`);
  const document = parseStrictJson(text, LIMITS.jsonDepth);
  if (!document.ok) throw new Error(`${address} is not a JSON object`);
  const { issuer: named, jwks_uri: jwksUri } = document.value;
  if (named !== issuer) throw new Error(`${address} speaks of another issuer`);
  checkKeyUrl(jwksUri as string, allowHttp, "jwks_uri");
  return jwksUri as string;
}
