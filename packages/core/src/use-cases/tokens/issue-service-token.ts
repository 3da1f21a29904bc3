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
  /** Whom it wants to call; undefined: as the payload's `aud` says, else the only one that it may. */
  readonly audience: string | undefined;
  /** undefined: all that it may there. */
  readonly scopes: readonly string[] | undefined;
}

export type IssuedServiceToken =
  | IssuedToken
  /** It was disabled, or what it was known by ended, after it had been authenticated. */
  | { readonly status: "unauthenticated" }
  /** The policy has no such call. */
  | ({ readonly status: "denied" } & Omit<Extract<CallDecision, { allowed: false }>, "allowed" | "status"> & {
        readonly code: 400 | 403;
      })
  /** The payload has a claim that is not the service's to set. */
  | { readonly status: "forbidden_claim"; readonly claim: string };

export type IssueServiceToken = (request: ServiceTokenRequest) => Promise<IssuedServiceToken>;

/** The story of a token for a service: what the policy allows it, what the core says of it, and then as any other. */
export function createIssueServiceToken(
  state: InstanceState,
  issueToken: IssueToken,
  reports: Pick<PolicyReports, "count">,
): IssueServiceToken {
  return async ({ principal, audience, scopes, payload, issuer, kind, algorithm, typ = "JWT", validity }) => {
    const { appId, service } = principal;
    // Nothing is waited for from here until `iat` is fixed, so what is revoked later covers it.
    if (!isStillAuthenticated(state, principal)) return { status: "unauthenticated" };
    const { aud } = payload;
    const asked = audience ?? (typeof aud === "string" ? aud : undefined); // programs have no other field for it
    const decision = decideCall(state.callPolicyOf(appId), service, asked, scopes);
    if (!decision.allowed) {
      const { error, problem, status: code } = decision;
      if (asked !== audience && error === "invalid_target") return { status: "forbidden_claim", claim: "aud" };
      return { status: "denied", code, error, problem };
    }
    const said = { issuer, service, audience: decision.audience, scopes: decision.scopes };
    const built = claimsOfService(payload, said);
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
