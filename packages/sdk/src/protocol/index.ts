// The parts of the SDK that the core and tools share. Every export is public API.
export { ALGORITHMS, algorithmNamed, type Algorithm } from "./algorithms.ts";
export { decodeBase64url, decodeUtf8 } from "./base64url.ts";
export { readBearerToken, type BearerToken } from "./bearer.ts";
export { isScope, mistypedClaim, refusalOfClaims, type ClaimRules, type ExactValue } from "./claims.ts";
export { challengeFor } from "./challenge.ts";
export type { Caller, Decision, Refusal } from "./decision.ts";
export { meaningOf, type Reason } from "./reasons.ts";
export {
  compareVersions,
  CREDENTIAL_PREFIX,
  DEFAULT_CORE_PORT,
  DRIVER_VERSIONS,
  isServiceName,
  PATHS,
  SERVICE_TOKEN_LIFETIME,
  type CreateJwtRequest,
  type CreateJwtResponse,
  type PublishedJwk,
} from "./api.ts";
export { CountersignError, type ErrorCode } from "./errors.ts";
export {
  parseKeySet,
  readJwk,
  type KeySetDocument,
  type PublicJwk,
  type SkippedJwk,
  type VerificationKey,
} from "./jwk.ts";
export { decodeJwt, isKid, type DecodedJwt, type DecodeResult, type JwtHeader } from "./jwt.ts";
export * as LIMITS from "./limits.ts";
export { isLoopbackHost } from "./loopback.ts";
export { isEarlier, isRevoked, readRevocations, type Revocations } from "./revocations.ts";
export {
  isPlainObject,
  parseStrictJson,
  problemOfJson,
  type JsonObject,
  type JsonProblem,
  type StrictJson,
} from "./strict-json.ts";
