import { createVerifier, type Verifier } from "countersign";
import { CountersignError, LIMITS } from "countersign/protocol";
import { PlatformUnavailable, type PlatformKeys } from "../../ports/platform-keys.ts";

/** Issuers whose keys are cached; the least recently used is evicted. */
const MAX_ISSUERS = 100;

/** Fetches keys with the SDK's verifier: through the discovery document, with limits, without redirects, in advance. */
export function createPlatformKeys(): PlatformKeys {
  const verifiers = new Map<string, Verifier>();

  function verifierOf(issuer: string): Verifier {
    const verifier = verifiers.get(issuer) ?? open(issuer);
    verifiers.delete(issuer);
    verifiers.set(issuer, verifier); // most recently used last
    const [oldest] = verifiers;
    if (verifiers.size > MAX_ISSUERS && oldest !== undefined) {
      verifiers.delete(oldest[0]);
      oldest[1].close();
    }
    return verifier;
  }

  return Object.freeze<PlatformKeys>({
    async hasSigned(issuer, token) {
      const decision = await verifierOf(issuer).verify(token);
      if (!decision.allowed && decision.reason === "keys_unavailable") {
        throw new PlatformUnavailable(`the keys of ${issuer} are unavailable`);
      }
      return decision.allowed;
    },
    problemOf(issuer) {
      try {
        open(issuer).close();
        return undefined;
      } catch (error) {
        if (error instanceof CountersignError) return error.message;
        throw error;
      }
    },
    close() {
      for (const verifier of verifiers.values()) verifier.close();
      verifiers.clear();
    },
  });
}

/**
 * Checks the signature. The core checks the claims, with the store's clock; the verifier also checks their times with
 * this machine's clock, so its tolerance is the largest allowed.
 */
function open(issuer: string): Verifier {
  const { clockTolerance } = LIMITS;
  return createVerifier({ issuer, audience: null, requiredClaims: {}, revocationsUri: null, clockTolerance });
}
