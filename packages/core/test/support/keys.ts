import type { SigningKey } from "../../src/domain/keys/signing-key.ts";
import { DEFAULT_ROTATION, type CreateStep, type RotationPolicy } from "../../src/domain/keys/rotation.ts";
import { NEW_YEAR } from "./clock.ts";

/** The default windows for one kind of key. */
export const RSA_ROTATION: RotationPolicy = Object.freeze({ ...DEFAULT_ROTATION, algorithms: ["RS256"] as const });

/** Returns a key for pure functions: dates and names are real, the numbers are not. */
export function signingKey(facts: Partial<SigningKey> = {}): SigningKey {
  const kid = facts.kid ?? "s-1";
  return Object.freeze({
    appId: "public",
    kid,
    kind: "static",
    algorithm: "RS256",
    sequence: 1,
    createdAt: NEW_YEAR,
    signsFrom: NEW_YEAR,
    signsUntil: null,
    verifiesUntil: null,
    revokedAt: null,
    publicJwk: Object.freeze({ kty: "RSA", kid, alg: "RS256", use: "sig", n: "AQ", e: "AQAB" }),
    ...facts,
  });
}

/** Returns the key of a step of the plan. */
export function keyOfStep(step: CreateStep, createdAt: number): SigningKey {
  const { type: _, ...facts } = step;
  const kid = `${facts.kind[0]}-${facts.algorithm}-${facts.sequence}`;
  return signingKey({ ...facts, kid, createdAt });
}
