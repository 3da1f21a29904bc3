import { SERVICE_TOKEN_LIFETIME } from "countersign/protocol";
import { decideCall, type CallDecision } from "../../domain/policy/policy.ts";
import { claimsOfService } from "../../domain/tokens/service-claims.ts";
import type { ServicePrincipal } from "../authentication/authenticate.ts";
import type { IssuedToken, IssueToken, TokenRequest } from "./issue-token.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { PolicyReports } from "../policy/policy-reports.ts";
import { isStillAuthenticated } from "../authentication/still-authenticated.ts";

export interface ServiceTokenRequest extends Omit<TokenRequest, "appId" | "maxLifetime"> {
  readonly principal: ServicePrincipal;
  /** The service to call; undefined: the payload's `aud`, otherwise the only service that the policy allows. */
  readonly audience: string | undefined;
  /** undefined: all scopes that the policy grants for the audience. */
  readonly scopes: readonly string[] | undefined;
}

export type IssuedServiceToken =
  | IssuedToken
  /** The service was disabled or its credential ended after authentication. */
  | { readonly status: "unauthenticated" }
  /** The policy does not allow the call. */
  | ({ readonly status: "denied" } & Omit<Extract<CallDecision, { allowed: false }>, "allowed" | "status"> & {
        readonly code: 400 | 403;
      })
  /** The payload has a claim that a service cannot set. */
  | { readonly status: "forbidden_claim"; readonly claim: string };

export type IssueServiceToken = (request: ServiceTokenRequest) => Promise<IssuedServiceToken>;

/** Issues a token to a service: checks the policy, adds the core's claims, then issues it like any other token. */
export function createIssueServiceToken(
  state: InstanceState,
  issueToken: IssueToken,
  reports: Pick<PolicyReports, "count">,
): IssueServiceToken {
  return async ({ principal, audience, scopes, payload, issuer, kind, algorithm, typ = "JWT", validity }) => {
    const { appId, service } = principal;
    // No await between this check and setting `iat`, so a later revocation covers this token.
    if (!isStillAuthenticated(state, principal)) return { status: "unauthenticated" };
    const { aud } = payload;
    const asked = audience ?? (typeof aud === "string" ? aud : undefined); // existing clients send the audience as `aud`
    const decision = decideCall(state.callPolicyOf(appId), service, asked, scopes);
    if (!decision.allowed) {
      const { error, problem, status: code } = decision;
      if (asked !== audience && error === "invalid_target") return { status: "forbidden_claim", claim: "aud" };
      return { status: "denied", code, error, problem };
    }
    const identity = { issuer, service, audience: decision.audience, scopes: decision.scopes };
    const built = claimsOfService(payload, identity);
    if (!built.ok) return { status: "forbidden_claim", claim: built.claim };
    const issued = await issueToken({
      appId,
      kind,
      algorithm,
      typ,
      payload,
      coreClaims: built.claims,
      issuer,
      validity,
      maxLifetime: SERVICE_TOKEN_LIFETIME,
    });
    if (issued.status === "issued" && decision.audience !== undefined && decision.reported !== undefined) {
      reports.count(appId, service, decision.audience, decision.scopes);
    }
    return issued;
  };
}
