import { Migrator, type Kysely, type Selectable, type Transaction } from "kysely";
import type { Algorithm, PublishedJwk } from "countersign/protocol";
import type { Store, StoredKey, StoreSnapshot, StoreState, StoreWriter } from "../../ports/store.ts";
import { StartupError } from "../../startup-error.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { Schema } from "./schema.ts";

/** What an engine brings to the one SQL store. */
export interface SqlEngine {
  /** For reads; never waits for a writer. */
  readonly reader: Kysely<Schema>;
  /** For transactions; each begins with the lock that keeps other writers out. */
  readonly writer: Kysely<Schema>;
  /** The engine's clock, milliseconds since the epoch. */
  now(db: Kysely<Schema>): Promise<number>;
  close(): Promise<void>;
}

/**
 * Brings the schema up to date. Safe when several instances do it at once.
 *
 * @throws StartupError where the database was written by a newer version; nothing is changed then
 */
export async function migrate(engine: SqlEngine): Promise<void> {
  const migrator = new Migrator({ db: engine.writer, provider: { getMigrations: async () => ({ ...MIGRATIONS }) } });
  const tables = await engine.reader.introspection.getTables({ withInternalKyselyTables: true });
  if (tables.some((table) => table.name === "kysely_migration")) {
    const rows = await engine.reader
      .withTables<{ kysely_migration: { name: string } }>()
      .selectFrom("kysely_migration")
      .select("name")
      .execute();
    const unknown = rows.find((row) => MIGRATIONS[row.name] === undefined);
    if (unknown !== undefined) {
      throw new StartupError(
        `the database has schema '${unknown.name}', which this version does not know: ` +
          "it was written by a newer countersign-core; start that version, or use another data directory",
      );
    }
    if (rows.length === Object.keys(MIGRATIONS).length) return;
  }
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}

export function createSqlStore(engine: SqlEngine): Store {
  async function readState(db: Kysely<Schema>): Promise<StoreState> {
    const row = await db.selectFrom("core_state").select(["epoch", "generation"]).executeTakeFirstOrThrow();
    return { epoch: row.epoch, generation: row.generation, now: await engine.now(db) };
  }

  return Object.freeze<Store>({
    readState: () => readState(engine.reader),
    readSnapshot: () =>
      // The state is read in the same transaction: an epoch never comes with rows of another one.
      engine.reader.transaction().execute(async (db): Promise<StoreSnapshot> => {
        const state = await readState(db);
        const apps = await db.selectFrom("apps").select("app_id").orderBy("created_at").orderBy("app_id").execute();
        const keys = await db.selectFrom("signing_keys").selectAll().orderBy("sequence").execute();
        return { ...state, appIds: apps.map((app) => app.app_id), keys: keys.map(toKey) };
      }),
    write: (work) =>
      engine.writer.transaction().execute(async (db) => {
        const writer = new SqlWriter(db, await engine.now(db));
        const result = await work(writer);
        if (writer.changed) {
          await db
            .updateTable("core_state")
            .set((row) => ({ epoch: row("epoch", "+", 1) }))
            .execute();
        }
        return result;
      }),
    close: () => engine.close(),
  });
}

class SqlWriter implements StoreWriter {
  readonly #db: Transaction<Schema>;
  readonly now: number;
  changed = false;

  constructor(db: Transaction<Schema>, now: number) {
    this.#db = db;
    this.now = now;
  }

  async hasApp(appId: string): Promise<boolean> {
    const row = await this.#db.selectFrom("apps").select("app_id").where("app_id", "=", appId).executeTakeFirst();
    return row !== undefined;
  }

  async insertApp(appId: string): Promise<void> {
    this.changed = true;
    await this.#db.insertInto("apps").values({ app_id: appId, created_at: this.now }).execute();
  }

  async deleteApp(appId: string): Promise<boolean> {
    const { numDeletedRows } = await this.#db.deleteFrom("apps").where("app_id", "=", appId).executeTakeFirst();
    const existed = numDeletedRows > 0n;
    this.changed ||= existed;
    return existed;
  }

  async keysOf(appId: string): Promise<StoredKey[]> {
    const rows = await this.#db.selectFrom("signing_keys").selectAll().where("app_id", "=", appId).execute();
    return rows.map(toKey);
  }

  async insertKey(key: StoredKey): Promise<void> {
    this.changed = true;
    await this.#db.insertInto("signing_keys").values(toRow(key)).execute();
  }

  async deleteKey(appId: string, kid: string): Promise<void> {
    const { numDeletedRows } = await this.#db
      .deleteFrom("signing_keys")
      .where("app_id", "=", appId)
      .where("kid", "=", kid)
      .executeTakeFirst();
    this.changed ||= numDeletedRows > 0n;
  }
}

type KeyRow = Selectable<Schema["signing_keys"]>;

function toKey(row: KeyRow): StoredKey {
  return Object.freeze({
    appId: row.app_id,
    kid: row.kid,
    kind: row.kind,
    algorithm: row.algorithm as Algorithm,
    sequence: row.sequence,
    createdAt: row.created_at,
    signsFrom: row.signs_from,
    signsUntil: row.signs_until,
    verifiesUntil: row.verifies_until,
    revokedAt: row.revoked_at,
    publicJwk: Object.freeze(JSON.parse(row.public_jwk) as PublishedJwk),
    sealedPrivateKey: Buffer.from(row.sealed_private_key, "base64url"),
    masterKeyId: row.master_key_id,
  });
}

function toRow(key: StoredKey): KeyRow {
  return {
    app_id: key.appId,
    kid: key.kid,
    kind: key.kind,
    algorithm: key.algorithm,
    sequence: key.sequence,
    created_at: key.createdAt,
    signs_from: key.signsFrom,
    signs_until: key.signsUntil,
    verifies_until: key.verifiesUntil,
    revoked_at: key.revokedAt,
    public_jwk: JSON.stringify(key.publicJwk),
    sealed_private_key: Buffer.from(key.sealedPrivateKey).toString("base64url"),
    master_key_id: key.masterKeyId,
  };
}
