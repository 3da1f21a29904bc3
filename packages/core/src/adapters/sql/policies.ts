import type { Kysely, Selectable } from "kysely";
import type { ReportedCall } from "../../domain/policy/policy-report.ts";
import type { PolicyVersion, PolicyWriter, StoredPolicy } from "../../ports/store.ts";
import type { Schema } from "./schema.ts";
import { SqlWriterPart } from "./writer-part.ts";

export class SqlPolicyWriter extends SqlWriterPart implements PolicyWriter {
  async current(appId: string): Promise<StoredPolicy | undefined> {
    const row = await this.db
      .selectFrom("policy_versions")
      .selectAll()
      .where("app_id", "=", appId)
      .orderBy("version", "desc")
      .limit(1)
      .executeTakeFirst();
    return row && toPolicy(row);
  }

  async insert(appId: string, document: string, appliedBy: string): Promise<StoredPolicy> {
    this.changed();
    const version = ((await this.current(appId))?.version ?? 0) + 1;
    const policy = { appId, version, document, appliedAt: this.now, appliedBy };
    await this.db.insertInto("policy_versions").values(toRowOfPolicy(policy)).execute();
    return policy;
  }

  reportedIn(appId: string): Promise<ReportedCall[]> {
    return reportedIn(this.db, appId);
  }

  async replaceReported(appId: string, calls: readonly ReportedCall[]): Promise<void> {
    await this.db.deleteFrom("reported_calls").where("app_id", "=", appId).execute();
    if (calls.length === 0) return;
    await this.db
      .insertInto("reported_calls")
      .values(calls.map((call) => toRowOfCall(appId, call)))
      .execute();
  }
}

/** Returns the current policy of each app. */
export async function currentPoliciesIn(db: Kysely<Schema>): Promise<StoredPolicy[]> {
  const rows = await db
    .selectFrom("policy_versions as one")
    .selectAll()
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom("policy_versions as later")
            .select("later.version")
            .whereRef("later.app_id", "=", "one.app_id")
            .whereRef("later.version", ">", "one.version"),
        ),
      ),
    )
    .execute();
  return rows.map(toPolicy);
}

export async function policyVersionsIn(db: Kysely<Schema>, appId: string): Promise<PolicyVersion[]> {
  const rows = await db
    .selectFrom("policy_versions")
    .select(["app_id", "version", "applied_at", "applied_by"])
    .where("app_id", "=", appId)
    .orderBy("version", "desc")
    .execute();
  return rows.map(toVersion);
}

export async function policyIn(db: Kysely<Schema>, appId: string, version: number): Promise<StoredPolicy | undefined> {
  const row = await db
    .selectFrom("policy_versions")
    .selectAll()
    .where("app_id", "=", appId)
    .where("version", "=", version)
    .executeTakeFirst();
  return row && toPolicy(row);
}

export async function reportedIn(db: Kysely<Schema>, appId: string): Promise<ReportedCall[]> {
  const rows = await db.selectFrom("reported_calls").selectAll().where("app_id", "=", appId).execute();
  return rows.map(toCall);
}

type PolicyRow = Selectable<Schema["policy_versions"]>;

export function toPolicy(row: PolicyRow): StoredPolicy {
  return { ...toVersion(row), document: row.document };
}

function toVersion(row: Omit<PolicyRow, "document">): PolicyVersion {
  return { appId: row.app_id, version: row.version, appliedAt: row.applied_at, appliedBy: row.applied_by };
}

export function toRowOfPolicy({ appId, version, document, appliedAt, appliedBy }: StoredPolicy): PolicyRow {
  return { app_id: appId, version, document, applied_at: appliedAt, applied_by: appliedBy };
}

type CallRow = Selectable<Schema["reported_calls"]>;

function toCall(row: CallRow): ReportedCall {
  return {
    caller: row.caller || undefined,
    callee: row.callee || undefined,
    scope: row.scope || null,
    count: row.count,
    firstAt: row.first_at,
    lastAt: row.last_at,
  };
}

/** Names and scopes are never empty, so an empty text means none. */
function toRowOfCall(appId: string, call: ReportedCall): CallRow {
  return {
    app_id: appId,
    caller: call.caller ?? "",
    callee: call.callee ?? "",
    scope: call.scope ?? "",
    count: call.count,
    first_at: call.firstAt,
    last_at: call.lastAt,
  };
}
