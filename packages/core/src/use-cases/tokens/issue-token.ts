import { randomUUID } from "node:crypto";
import { ALGORITHMS, LIMITS, type Algorithm, type JsonObject } from "countersign/protocol";
import { buildClaims, buildHeader, problemOfClaims, type Grant, type TokenType } from "../../domain/tokens/token.ts";
import type { KeyKind, SigningKey } from "../../domain/keys/signing-key.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import { encodePart, signatureLengthOf, signBytes } from "../../crypto/jws.ts";

export interface TokenRequest extends Grant {
  readonly appId: string;
  readonly kind: KeyKind;
  readonly algorithm: Algorithm;
  /** Default `JWT`. */
  readonly typ?: TokenType;
}

export type IssuedToken =
  | {
      status: "issued";
      jwt: string;
      /** The actual `exp`, seconds since the epoch, if it is earlier than requested; undefined: as requested. */
      expiresAt: number | undefined;
      /** All claims of the token, including `iat` and `exp`. */
      claims: JsonObject;
    }
  | { status: "unsupported_algorithm" }
  /** Verifiers would reject the requested token. */
  | { status: "refused"; problem: string }
  /** The state in memory is too old: a key might have been revoked since. */
  | { status: "unavailable" };

export type IssueToken = (request: TokenRequest) => Promise<IssuedToken>;

/**
 * Issues tokens: selects the active signing key, builds the claims, signs. Reads no store and takes no lock.
 *
 * @param maxRingAge how long to issue tokens while the store is unavailable, in milliseconds
 */
export function createIssueToken(state: InstanceState, maxRingAge: number): IssueToken {
  return async (request) => {
    if (state.age() > maxRingAge) return { status: "unavailable" };
    const key = state.signer(request.appId, request.kind, request.algorithm);
    if (key === undefined) return { status: "unsupported_algorithm" };
    const built = buildClaims(request, key, state.now(), randomUUID());
    if (!built.ok) return { status: "refused", problem: built.problem };

    const privateKey = await state.privateKeyOf(key);
    const signingInput = `${headerOf(key, request.typ)}.${encodePart(built.claims)}`;
    const length = signingInput.length + 1 + Math.ceil((signatureLengthOf(privateKey) * 4) / 3);
    // Reject before signing what verifiers would reject. The core's own claims are always valid.
    const problem = length > LIMITS.tokenLength ? TOO_LARGE : problemOfClaims(request.payload);
    if (problem !== undefined) return { status: "refused", problem };
    const signature = await signBytes(key.algorithm, privateKey, Buffer.from(signingInput));
    const { iat, exp } = built.claims as { iat: number; exp: number };
    state.countIssued(key, iat, exp);
    return {
      status: "issued",
      jwt: `${signingInput}.${signature.toString("base64url")}`,
      expiresAt: built.clamped ? exp : undefined,
      claims: built.claims,
    };
  };
}

const TOO_LARGE = `payload: the token would be larger than ${LIMITS.tokenLength} bytes`;

/** Returns the encoded header, cached by key and type. */
function headerOf(key: SigningKey, typ: TokenType = "JWT"): string {
  const known = HEADERS.get(key) ?? {};
  HEADERS.set(key, known);
  return (known[typ] ??= encodePart(buildHeader(key, typ)));
}

const HEADERS = new WeakMap<SigningKey, Partial<Record<TokenType, string>>>();

/** Returns the algorithm with this name, in any case, or undefined. */
export function algorithmRequested(name: string): Algorithm | undefined {
  const wanted = name.toLowerCase() === "eddsa" ? "ed25519" : name.toLowerCase();
  return ALGORITHMS.find((algorithm) => algorithm.toLowerCase() === wanted);
}
