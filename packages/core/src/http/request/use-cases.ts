import type { CoreConfig } from "../../config/config.ts";
import type { Authenticate } from "../../use-cases/authentication/authenticate.ts";
import type { AuthenticateClient } from "../../use-cases/authentication/authenticate-client.ts";
import type { TakeBackup } from "../../use-cases/backup/backup.ts";
import type { Introspect } from "../../use-cases/tokens/introspect.ts";
import type { IssueServiceToken } from "../../use-cases/tokens/issue-service-token.ts";
import type { IssueToken } from "../../use-cases/tokens/issue-token.ts";
import type { IssuerUrls } from "../../use-cases/apps/issuer-urls.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { ManageApps } from "../../use-cases/apps/manage-apps.ts";
import type { ManageClients } from "../../use-cases/services/manage-clients.ts";
import type { ManageKeys } from "../../use-cases/keys/manage-keys.ts";
import type { ManagePolicy } from "../../use-cases/policy/manage-policy.ts";
import type { ManageServices } from "../../use-cases/services/manage-services.ts";
import type { PolicyReports } from "../../use-cases/policy/policy-reports.ts";
import type { PublishFeed } from "../../use-cases/revocation/publish-feed.ts";
import type { ResealKeys } from "../../use-cases/keys/reseal-keys.ts";
import type { Revoke } from "../../use-cases/revocation/revoke.ts";
import type { Store } from "../../ports/store.ts";
import type { FailedAuthenticationLimit } from "../limits/failed-authentication-limit.ts";
import type { OutageLog } from "../telemetry/outage-log.ts";

/** Everything that HTTP handlers call. */
export interface UseCases {
  readonly config: CoreConfig;
  readonly store: Store;
  readonly state: InstanceState;
  readonly authenticate: Authenticate;
  readonly failedAuthenticationLimit: FailedAuthenticationLimit;
  readonly issueToken: IssueToken;
  readonly issueServiceToken: IssueServiceToken;
  readonly manageApps: ManageApps;
  readonly manageKeys: ManageKeys;
  readonly manageServices: ManageServices;
  readonly revoke: Revoke;
  readonly resealKeys: ResealKeys;
  readonly takeBackup: TakeBackup;
  readonly publishFeed: PublishFeed;
  readonly managePolicy: ManagePolicy;
  readonly policyReports: PolicyReports;
  readonly issuerUrls: IssuerUrls;
  readonly introspect: Introspect;
  readonly manageClients: ManageClients;
  readonly authenticateClient: AuthenticateClient;
  readonly outages: OutageLog;
  readonly version: string;
}
