import { Migrator } from "kysely";
import { StartupError } from "../../ports/startup-error.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { SqlEngine } from "./sql-engine.ts";

/**
 * Checks that must pass before the schema of a store with keys changes.
 *
 * @param masterKeyIds reads the IDs of the master keys that the stored keys are encrypted with
 * @throws StartupError
 */
export type BeforeMigration = (masterKeyIds: () => Promise<readonly string[]>) => Promise<void>;

/** Our own name: another program in the same database might use the same library. */
const MIGRATION_TABLE = "countersign_migration";

/**
 * Updates the schema. Several instances can do so at the same time.
 *
 * @throws StartupError if a newer version has made an incompatible change; nothing is changed then
 */
export async function migrate(engine: SqlEngine, before: BeforeMigration | undefined): Promise<void> {
  const schema = await engine.schema();
  const introspected = await engine.reader.introspection.getTables({ withInternalKyselyTables: true });
  const tables = new Set(introspected.filter((table) => table.schema === schema).map((table) => table.name));
  if (tables.has(MIGRATION_TABLE) && (await isUpToDate(engine))) return;
  if (tables.has("signing_keys")) await before?.(() => masterKeyIdsIn(engine));

  const migrator = new Migrator({
    db: engine.writer,
    provider: { getMigrations: async () => ({ ...MIGRATIONS }) },
    migrationTableName: MIGRATION_TABLE,
    migrationLockTableName: `${MIGRATION_TABLE}_lock`,
    ...(schema !== undefined && { migrationTableSchema: schema }),
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}

/** Reports whether all migrations have run. @throws StartupError */
async function isUpToDate({ reader }: SqlEngine): Promise<boolean> {
  const applied = await reader
    .withTables<{ [MIGRATION_TABLE]: { name: string } }>()
    .selectFrom(MIGRATION_TABLE)
    .select("name")
    .execute();
  const newer = applied.filter(({ name }) => MIGRATIONS[name] === undefined);
  const isComplete = applied.length - newer.length === Object.keys(MIGRATIONS).length;
  // A newer version that only adds to a complete schema is compatible (see MIGRATIONS).
  const incompatible = newer.find(({ name }) => !(isComplete && name.endsWith("_expand")));
  if (incompatible !== undefined) {
    throw new StartupError(
      `the database has the unknown schema version "${incompatible.name}" of a newer countersign-core; ` +
        "start that version, or use another database",
    );
  }
  return isComplete;
}

async function masterKeyIdsIn({ reader }: SqlEngine): Promise<string[]> {
  const rows = await reader.selectFrom("signing_keys").select("master_key_id").distinct().execute();
  return rows.map((row) => row.master_key_id);
}
