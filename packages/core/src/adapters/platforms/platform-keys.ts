import { createVerifier, type Verifier } from "countersign";
import { CountersignError, LIMITS } from "countersign/protocol";
import { PlatformUnavailable, type PlatformKeys } from "../../ports/platform-keys.ts";

/** IssuerUrls whose keys are kept. Beyond, the one that was asked for longest ago is fetched anew. */
const MAX_ISSUERS = 100;

/** Fetches keys as our verifiers do: through the discovery document, bounded, without redirects, ahead of need. */
export function createPlatformKeys(): PlatformKeys {
  const verifiers = new Map<string, Verifier>();

  function verifierOf(issuer: string): Verifier {
    const verifier = verifiers.get(issuer) ?? open(issuer);
    verifiers.delete(issuer);
    verifiers.set(issuer, verifier); // the last one is the one that was asked for last
    const [eldest] = verifiers;
    if (verifiers.size > MAX_ISSUERS && eldest !== undefined) {
      verifiers.delete(eldest[0]);
      eldest[1].close();
    }
    return verifier;
  }

  return Object.freeze<PlatformKeys>({
    async hasSigned(issuer, token) {
      const decision = await verifierOf(issuer).verify(token);
      if (!decision.allowed && decision.reason === "keys_unavailable") {
        throw new PlatformUnavailable(`the keys of ${issuer} cannot be had`);
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
 * Here it is who signed a token. What it says is the core's to judge, and its times by the store's clock; this machine's
 * must only not be off by more than the tolerance.
 */
function open(issuer: string): Verifier {
  const { clockTolerance } = LIMITS;
  return createVerifier({ issuer, audience: null, requiredClaims: {}, revocationsUri: null, clockTolerance });
}
