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
      /** Seconds since the epoch: the real `exp`, where it is earlier than what was asked for. */
      expiresAt: number | undefined;
      /** All that it says; `iat` and `exp` are there. */
      claims: JsonObject;
    }
  | { status: "unsupported_algorithm" }
  /** The caller asked for something no verifier would accept. */
  | { status: "refused"; problem: string }
  /** What is in memory is too old to trust: a key may have been revoked since. */
  | { status: "unavailable" };

export type IssueToken = (request: TokenRequest) => Promise<IssuedToken>;

/**
 * The story of a token for M1: pick the signer, build the claims, sign. No store is read and no lock taken.
 *
 * @param maxRingAge milliseconds that issuing goes on while the store is away
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
    // What our verifier would not read is refused before a signature is spent on it; what the core says itself it reads.
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

/** The first part of a token: the same for all of a key and type. */
function headerOf(key: SigningKey, typ: TokenType = "JWT"): string {
  const known = HEADERS.get(key) ?? {};
  HEADERS.set(key, known);
  return (known[typ] ??= encodePart(buildHeader(key, typ)));
}

const HEADERS = new WeakMap<SigningKey, Partial<Record<TokenType, string>>>();

/** Clients spell algorithms in any case. */
export function algorithmRequested(name: string): Algorithm | undefined {
  const wanted = name.toLowerCase() === "eddsa" ? "ed25519" : name.toLowerCase();
  return ALGORITHMS.find((algorithm) => algorithm.toLowerCase() === wanted);
}
