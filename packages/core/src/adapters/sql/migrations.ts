import { sql, type Kysely, type Migration } from "kysely";

/**
 * The schema's history, oldest first. Expand, then contract: version N-1 of the core runs on the schema of version N, so
 * a migration removes something one release after its last use. The name of a migration that only adds ends in
 * `_expand`, which tells an older core that it can start on the schema, for example after a roll-back.
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
        // If several instances race, one of them inserts the next key.
        .addUniqueConstraint("signing_keys_sequence", ["app_id", "kind", "algorithm", "sequence"])
        .execute();
    },
  },
  "0002_revocations_expand": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema.alterTable("apps").addColumn("algorithms", "text").execute();
      await db.schema
        .createTable("revoked_tokens")
        .addColumn("app_id", "text", (column) => column.notNull().references("apps.app_id").onDelete("cascade"))
        .addColumn("jti", "text", (column) => column.notNull())
        .addColumn("expires_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("revoked_tokens_pk", ["app_id", "jti"])
        .execute();
      await db.schema
        .createTable("revoked_services")
        .addColumn("app_id", "text", (column) => column.notNull().references("apps.app_id").onDelete("cascade"))
        .addColumn("service", "text", (column) => column.notNull())
        .addColumn("not_before", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("revoked_services_pk", ["app_id", "service"])
        .execute();
    },
  },
  "0003_rotation_due_expand": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .alterTable("apps")
        .addColumn("rotation_due", "integer", (column) => column.notNull().defaultTo(0))
        .execute();
    },
  },
  "0004_rotation_expand": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema.alterTable("core_state").addColumn("rotation", "text").execute();
    },
  },
  "0005_services_expand": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("services")
        .addColumn("app_id", "text", (column) => column.notNull().references("apps.app_id").onDelete("cascade"))
        .addColumn("service", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("disabled_at", "bigint")
        .addPrimaryKeyConstraint("services_pk", ["app_id", "service"])
        .execute();
      await db.schema
        .createTable("service_credentials")
        .addColumn("app_id", "text", (column) => column.notNull())
        .addColumn("service", "text", (column) => column.notNull())
        .addColumn("credential_id", "text", (column) => column.notNull())
        .addColumn("digest", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addColumn("expires_at", "bigint")
        .addColumn("last_used_at", "bigint")
        .addPrimaryKeyConstraint("service_credentials_pk", ["app_id", "service", "credential_id"])
        // A credential authenticates one service.
        .addUniqueConstraint("service_credentials_digest", ["app_id", "digest"])
        .addForeignKeyConstraint(
          "service_credentials_service",
          ["app_id", "service"],
          "services",
          ["app_id", "service"],
          (constraint) => constraint.onDelete("cascade"),
        )
        .execute();
    },
  },
  "0006_policy_expand": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("policy_versions")
        .addColumn("app_id", "text", (column) => column.notNull().references("apps.app_id").onDelete("cascade"))
        .addColumn("version", "bigint", (column) => column.notNull())
        .addColumn("document", "text", (column) => column.notNull())
        .addColumn("applied_at", "bigint", (column) => column.notNull())
        .addColumn("applied_by", "text", (column) => column.notNull())
        .addPrimaryKeyConstraint("policy_versions_pk", ["app_id", "version"])
        .execute();
      await db.schema
        .createTable("reported_calls")
        .addColumn("app_id", "text", (column) => column.notNull().references("apps.app_id").onDelete("cascade"))
        .addColumn("caller", "text", (column) => column.notNull())
        .addColumn("callee", "text", (column) => column.notNull())
        .addColumn("scope", "text", (column) => column.notNull())
        .addColumn("count", "bigint", (column) => column.notNull())
        .addColumn("first_at", "bigint", (column) => column.notNull())
        .addColumn("last_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("reported_calls_pk", ["app_id", "caller", "callee", "scope"])
        .execute();
    },
  },
  "0007_oauth_expand": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("client_keys")
        .addColumn("app_id", "text", (column) => column.notNull())
        .addColumn("service", "text", (column) => column.notNull())
        .addColumn("kid", "text", (column) => column.notNull())
        .addColumn("algorithm", "text", (column) => column.notNull())
        .addColumn("jwk", "text", (column) => column.notNull())
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("client_keys_pk", ["app_id", "service", "kid"])
        .addForeignKeyConstraint(
          "client_keys_service",
          ["app_id", "service"],
          "services",
          ["app_id", "service"],
          (constraint) => constraint.onDelete("cascade"),
        )
        .execute();
      await db.schema
        .createTable("trusts")
        .addColumn("app_id", "text", (column) => column.notNull())
        .addColumn("trust_id", "text", (column) => column.notNull())
        .addColumn("service", "text", (column) => column.notNull())
        .addColumn("issuer", "text", (column) => column.notNull())
        .addColumn("subject", "text", (column) => column.notNull())
        .addColumn("audience", "text", (column) => column.notNull())
        .addColumn("jwks", "text")
        .addColumn("created_at", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("trusts_pk", ["app_id", "trust_id"])
        .addForeignKeyConstraint(
          "trusts_service",
          ["app_id", "service"],
          "services",
          ["app_id", "service"],
          (constraint) => constraint.onDelete("cascade"),
        )
        .execute();
      await db.schema
        .createTable("used_assertions")
        .addColumn("app_id", "text", (column) => column.notNull().references("apps.app_id").onDelete("cascade"))
        .addColumn("digest", "text", (column) => column.notNull())
        .addColumn("until", "bigint", (column) => column.notNull())
        // If several instances receive an assertion at the same time, one of them accepts it.
        .addPrimaryKeyConstraint("used_assertions_pk", ["app_id", "digest"])
        .execute();
      await db.schema.createIndex("used_assertions_until").on("used_assertions").column("until").execute();
    },
  },
  "0008_own_revocations_expand": {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema.alterTable("revoked_tokens").addColumn("service", "text").execute();
    },
  },
});
