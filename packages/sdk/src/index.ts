// The public API. Adding a name here is a compatibility promise.
import { createCountersign, type Countersign, type CountersignConfig } from "./instance/countersign.ts";
import { defaultInstance, setDefaultInstance } from "./instance/default-instance.ts";
import { createServiceFetch, getServiceToken } from "./instance/service-client.ts";
import { createVerifier } from "./verify/verifier.ts";

/**
 * Creates the default instance, which the recipe functions and the framework middleware use. Later calls have no effect.
 *
 * @throws CountersignError `invalid_option`
 * @example
 * countersign.init({
 *   appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
 *   core: { connectionURI: "http://localhost:3567", apiKey: process.env.CORE_API_KEY },
 *   recipeList: [jwt.init()],
 * });
 */
export function init(config: CountersignConfig): void {
  if (defaultInstance() === undefined) setDefaultInstance(createCountersign(config));
}

export { createCountersign, createServiceFetch, createVerifier, getServiceToken };
export type { Countersign, CountersignConfig };
export type { AppInfo, NormalisedAppInfo } from "./config/app-info.ts";
export type { CoreConfig, CoreRequest, NetworkInterceptor } from "./core-client/core-client.ts";
export { definePolicy, type PolicyDocument, type PolicyEntry } from "./define-policy.ts";
export type { VerifierEvent } from "./telemetry/events.ts";
export { explainToken, type Check, type Explanation } from "./verify/explain.ts";
export type { Front, FrontAnswer, FrontCall } from "./recipe/jwks-endpoints.ts";
export type { Caller, Decision, Refusal } from "./protocol/decision.ts";
export { meaningOf, type Reason } from "./protocol/reasons.ts";
export { CountersignError, type ErrorCode } from "./protocol/errors.ts";
export type { ServiceFetch, ServiceFetchOptions, ServiceTokenOptions } from "./service-token/service-fetch.ts";
export type { FeedHealth } from "./revocation/revocation-feed.ts";
export type { KeySetHealth } from "./jwks/key-set.ts";
export type { IssuerHealth, Verifier, VerifierHealth } from "./verify/verifier.ts";
export type { TokenRules, TrustedIssuer, VerifierOptions } from "./verify/verifier-options.ts";

export default { init, createCountersign, createServiceFetch, createVerifier, getServiceToken };
