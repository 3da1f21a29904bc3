import { sql, type Kysely, type Migration } from "kysely";

/**
 * The schema's history, oldest first. Expand, then contract: version N-1 of the core runs on the schema of
 * version N, so a change that takes something away comes one release after the last use of it.
 */
export const MIGRATIONS: Readonly<Record<string, Migration>> = Object.freeze({
  "0001_apps_and_keys": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("core_state")
        .addColumn("id", "integer", (column) => column.primaryKey().check(sql`id = 1`))
        .addColumn("epoch", "bigint", (column) => column.notNull())
        .addColumn("generation", "bigint", (column) => column.notNull())
        .execute();
      await sql`insert into core_state (id, epoch, generation) values (1, 1, 1)`.execute(db);

      await db.schema
        .createTable("apps")
        .addColumn("app_id", "text", (column) => column.primaryKey())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .execute();

      await db.schema
        .createTable("signing_keys")
        .addColumn("app_id", "text", (column) => column.notNull().references("apps.app_id").onDelete("cascade"))
        .addColumn("kid", "text", (column) => column.notNull())
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("algorithm", "text", (column) => column.notNull())
        .addColumn("sequence", "bigint", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("signs_from", "bigint", (column) => column.notNull())
        .addColumn("signs_until", "bigint")
        .addColumn("verifies_until", "bigint")
        .addColumn("revoked_at", "bigint")
        .addColumn("public_jwk", "text", (column) => column.notNull())
        .addColumn("sealed_private_key", "text", (column) => column.notNull())
        .addColumn("master_key_id", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("signing_keys_pk", ["app_id", "kid"])
        // However many instances race, one of them makes the next key.
        .addUniqueConstraint("signing_keys_sequence", ["app_id", "kind", "algorithm", "sequence"])
        .execute();
    },
  },
});
