import type { Selectable } from "kysely";
import type { RevokedService, RevokedToken } from "../../domain/revocation/revocation-feed.ts";
import type { Revocations, RevocationWriter } from "../../ports/store.ts";
import type { Schema } from "./schema.ts";
import { SqlWriterPart } from "./writer-part.ts";

export class SqlRevocationWriter extends SqlWriterPart implements RevocationWriter {
  async listIn(appId: string): Promise<Revocations> {
    const tokens = await this.db.selectFrom("revoked_tokens").selectAll().where("app_id", "=", appId).execute();
    const services = await this.db.selectFrom("revoked_services").selectAll().where("app_id", "=", appId).execute();
    return { tokens: tokens.map(toRevokedToken), services: services.map(toRevokedService) };
  }

  async upsertToken(revoked: RevokedToken): Promise<void> {
    const { expiresAt } = revoked;
    const { numInsertedOrUpdatedRows } = await this.db
      .insertInto("revoked_tokens")
      .values(toRowOfRevokedToken(revoked))
      .onConflict((conflict) =>
        conflict
          .columns(["app_id", "jti"])
          .doUpdateSet({ expires_at: expiresAt })
          .where("revoked_tokens.expires_at", "<", expiresAt),
      )
      .executeTakeFirst();
    if ((numInsertedOrUpdatedRows ?? 0n) > 0n) this.changed();
  }

  async deleteExpiredTokens(now: number): Promise<void> {
    const { numDeletedRows } = await this.db
      .deleteFrom("revoked_tokens")
      .where("expires_at", "<", now)
      .executeTakeFirst();
    if (numDeletedRows > 0n) this.changed();
  }

  async upsertService(revoked: RevokedService): Promise<void> {
    const { notBefore } = revoked;
    const { numInsertedOrUpdatedRows } = await this.db
      .insertInto("revoked_services")
      .values(toRowOfRevokedService(revoked))
      .onConflict((conflict) =>
        conflict
          .columns(["app_id", "service"])
          .doUpdateSet({ not_before: notBefore })
          .where("revoked_services.not_before", "<", notBefore),
      )
      .executeTakeFirst();
    if ((numInsertedOrUpdatedRows ?? 0n) > 0n) this.changed();
  }
}

export function toRevokedToken(row: Selectable<Schema["revoked_tokens"]>): RevokedToken {
  const revoked = { appId: row.app_id, jti: row.jti, expiresAt: row.expires_at };
  return row.service === null ? revoked : { ...revoked, service: row.service };
}

export function toRowOfRevokedToken({ appId, jti, expiresAt, service }: RevokedToken): Schema["revoked_tokens"] {
  return { app_id: appId, jti, expires_at: expiresAt, service: service ?? null };
}

export function toRevokedService(row: Selectable<Schema["revoked_services"]>): RevokedService {
  return { appId: row.app_id, service: row.service, notBefore: row.not_before };
}

export function toRowOfRevokedService({ appId, service, notBefore }: RevokedService): Schema["revoked_services"] {
  return { app_id: appId, service, not_before: notBefore };
}
