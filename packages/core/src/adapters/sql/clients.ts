import { sql, type Kysely, type RawBuilder, type Selectable } from "kysely";
import type { Algorithm, PublicJwk } from "countersign/protocol";
import type { ClientKey } from "../../domain/authentication/client-key.ts";
import type { WorkloadTrust } from "../../domain/authentication/workload-trust.ts";
import type { ClientWriter, OneUse } from "../../ports/store.ts";
import type { Schema } from "./schema.ts";
import { SqlWriterPart } from "./writer-part.ts";

export class SqlClientWriter extends SqlWriterPart implements ClientWriter {
  async replaceKeys(appId: string, service: string, keys: readonly ClientKey[]): Promise<void> {
    this.changed();
    await this.db.deleteFrom("client_keys").where("app_id", "=", appId).where("service", "=", service).execute();
    if (keys.length > 0) await this.db.insertInto("client_keys").values(keys.map(toRowOfClientKey)).execute();
  }

  trustsIn(appId: string): Promise<WorkloadTrust[]> {
    return trustsIn(this.db, appId);
  }

  async insertTrust(trust: WorkloadTrust): Promise<void> {
    this.changed();
    await this.db.insertInto("trusts").values(toRowOfTrust(trust)).execute();
  }

  async deleteTrust(appId: string, id: string): Promise<boolean> {
    const { numDeletedRows } = await this.db
      .deleteFrom("trusts")
      .where("app_id", "=", appId)
      .where("trust_id", "=", id)
      .executeTakeFirst();
    if (numDeletedRows > 0n) this.changed();
    return numDeletedRows > 0n;
  }
}

/**
 * Runs as one statement, without the writers' lock. All instances insert in the same order, to avoid deadlocks.
 *
 * @param now the engine's clock, milliseconds
 * @returns for each use, whether it is the first; of duplicates in `uses`, only one can be
 */
export async function useOnce(
  db: Kysely<Schema>,
  uses: readonly OneUse[],
  now: RawBuilder<number>,
): Promise<boolean[]> {
  const rows = new Map<string, Schema["used_assertions"]>();
  for (const { appId, digest, until } of uses) {
    const name = `${appId} ${digest}`;
    if (!rows.has(name)) rows.set(name, { app_id: appId, digest, until });
  }
  const names = [...rows.keys()].sort();
  const written = await db
    .insertInto("used_assertions")
    .values(names.map((name) => rows.get(name)!))
    .onConflict((conflict) =>
      conflict
        .columns(["app_id", "digest"])
        .doUpdateSet({ until: (row) => row.ref("excluded.until") })
        .where("used_assertions.until", "<", sql<number>`${now} / 1000`),
    )
    .returning(["app_id", "digest"])
    .execute();
  const first = new Set(written.map((row) => `${row.app_id} ${row.digest}`));
  return uses.map(({ appId, digest }) => first.delete(`${appId} ${digest}`));
}

/** @param now as for `useOnce` */
export async function forgetUsed(db: Kysely<Schema>, now: RawBuilder<number>): Promise<number> {
  const seconds = sql<number>`${now} / 1000`;
  const { numDeletedRows } = await db.deleteFrom("used_assertions").where("until", "<", seconds).executeTakeFirst();
  return Number(numDeletedRows);
}

async function trustsIn(db: Kysely<Schema>, appId: string): Promise<WorkloadTrust[]> {
  const rows = await db.selectFrom("trusts").selectAll().where("app_id", "=", appId).execute();
  return rows.map(toTrust);
}

export function toClientKey(row: Selectable<Schema["client_keys"]>): ClientKey {
  return {
    appId: row.app_id,
    service: row.service,
    kid: row.kid,
    algorithm: row.algorithm as Algorithm,
    jwk: JSON.parse(row.jwk) as PublicJwk,
    createdAt: row.created_at,
  };
}

export function toRowOfClientKey(key: ClientKey): Schema["client_keys"] {
  const { appId, service, kid, algorithm, jwk, createdAt } = key;
  return { app_id: appId, service, kid, algorithm, jwk: JSON.stringify(jwk), created_at: createdAt };
}

export function toTrust(row: Selectable<Schema["trusts"]>): WorkloadTrust {
  const { app_id: appId, trust_id: id, service, issuer, subject, audience, jwks, created_at: createdAt } = row;
  return { appId, id, service, issuer, subject, audience, jwks, createdAt };
}

export function toRowOfTrust({ appId, id, createdAt, ...trust }: WorkloadTrust): Schema["trusts"] {
  const { service, issuer, subject, audience, jwks } = trust;
  return { app_id: appId, trust_id: id, service, issuer, subject, audience, jwks, created_at: createdAt };
}
