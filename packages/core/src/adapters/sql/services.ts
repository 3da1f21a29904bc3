import { sql, type Kysely, type Selectable } from "kysely";
import type { Credential, CredentialUse } from "../../domain/authentication/credential.ts";
import type { Service } from "../../domain/services/service.ts";
import type { ServiceWriter } from "../../ports/store.ts";
import type { Schema } from "./schema.ts";
import { SqlWriterPart } from "./writer-part.ts";

/** Uses per statement, with four parameters each: SQLite accepts 32,766. */
const BATCH = 1_000;

export class SqlServiceWriter extends SqlWriterPart implements ServiceWriter {
  async find(appId: string, name: string): Promise<Service | undefined> {
    const row = await this.db
      .selectFrom("services")
      .selectAll()
      .where("app_id", "=", appId)
      .where("service", "=", name)
      .executeTakeFirst();
    return row && toService(row);
  }

  async count(appId: string): Promise<number> {
    const { count } = await this.db
      .selectFrom("services")
      .select((select) => select.fn.countAll<number>().as("count"))
      .where("app_id", "=", appId)
      .executeTakeFirstOrThrow();
    return count;
  }

  async names(appId: string): Promise<ReadonlySet<string>> {
    const rows = await this.db.selectFrom("services").select("service").where("app_id", "=", appId).execute();
    return new Set(rows.map((row) => row.service));
  }

  async insert(appId: string, name: string): Promise<Service> {
    this.changed();
    const service = { appId, name, createdAt: this.now, disabledAt: null };
    await this.db.insertInto("services").values(toRowOfService(service)).execute();
    return service;
  }

  async setDisabled(appId: string, name: string, disabledAt: number | null): Promise<void> {
    const { numUpdatedRows } = await this.db
      .updateTable("services")
      .set({ disabled_at: disabledAt })
      .where("app_id", "=", appId)
      .where("service", "=", name)
      .where("disabled_at", "is distinct from", disabledAt)
      .executeTakeFirst();
    if (numUpdatedRows > 0n) this.changed();
  }

  async delete(appId: string, name: string): Promise<boolean> {
    const { numDeletedRows } = await this.db
      .deleteFrom("services")
      .where("app_id", "=", appId)
      .where("service", "=", name)
      .executeTakeFirst();
    if (numDeletedRows > 0n) this.changed();
    return numDeletedRows > 0n;
  }

  credentialsOf(appId: string, name: string): Promise<Credential[]> {
    return credentialsIn(this.db, appId, name);
  }

  async insertCredential(credential: Credential): Promise<void> {
    this.changed();
    await this.db.insertInto("service_credentials").values(toRowOfCredential(credential)).execute();
  }

  async deleteCredential(appId: string, name: string, id: string): Promise<boolean> {
    const { numDeletedRows } = await this.db
      .deleteFrom("service_credentials")
      .where("app_id", "=", appId)
      .where("service", "=", name)
      .where("credential_id", "=", id)
      .executeTakeFirst();
    if (numDeletedRows > 0n) this.changed();
    return numDeletedRows > 0n;
  }

  async noteUses(uses: readonly CredentialUse[]): Promise<void> {
    for (let from = 0; from < uses.length; from += BATCH) {
      const rows = uses
        .slice(from, from + BATCH)
        .map(({ appId, service, id, usedAt }) => sql`(${appId}, ${service}, ${id}, cast(${usedAt} as bigint))`);
      // Both engines name the columns of VALUES like this. An update does not recreate deleted credentials.
      await sql`
        update service_credentials set last_used_at = used.column4
        from (values ${sql.join(rows)}) as used
        where app_id = used.column1 and service = used.column2 and credential_id = used.column3
          and (last_used_at is null or last_used_at < used.column4)
      `.execute(this.db);
    }
  }
}

export async function credentialsIn(db: Kysely<Schema>, appId: string, name: string): Promise<Credential[]> {
  const rows = await db
    .selectFrom("service_credentials")
    .selectAll()
    .where("app_id", "=", appId)
    .where("service", "=", name)
    .orderBy("created_at")
    .orderBy("credential_id")
    .execute();
  return rows.map(toCredential);
}

export function toService(row: Selectable<Schema["services"]>): Service {
  return { appId: row.app_id, name: row.service, createdAt: row.created_at, disabledAt: row.disabled_at };
}

export function toRowOfService({ appId, name, createdAt, disabledAt }: Service): Schema["services"] {
  return { app_id: appId, service: name, created_at: createdAt, disabled_at: disabledAt };
}

export function toCredential(row: Selectable<Schema["service_credentials"]>): Credential {
  return {
    appId: row.app_id,
    service: row.service,
    id: row.credential_id,
    digest: row.digest,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  };
}

export function toRowOfCredential(credential: Credential): Schema["service_credentials"] {
  return {
    app_id: credential.appId,
    service: credential.service,
    credential_id: credential.id,
    digest: credential.digest,
    created_at: credential.createdAt,
    expires_at: credential.expiresAt,
    last_used_at: credential.lastUsedAt,
  };
}
