import { Migrator, type Kysely, type Selectable, type Transaction } from "kysely";
import type { Algorithm, PublishedJwk } from "countersign/protocol";
import type { KeyDates } from "../../domain/key-change.ts";
import type { RevokedService, RevokedToken } from "../../domain/revocation.ts";
import type { RotationPolicy } from "../../domain/rotation.ts";
import type {
  Revocations,
  Store,
  StoredApp,
  StoredKey,
  StoreOrder,
  StoreSnapshot,
  StoreState,
  StoreWriter,
} from "../../ports/store.ts";
import { StartupError } from "../../startup-error.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { Schema } from "./schema.ts";

/** What an engine brings to the one SQL store. Its drivers reject with StoreUnavailable for what may pass. */
export interface SqlEngine {
  /** For reads; never waits for a writer. */
  readonly reader: Kysely<Schema>;
  /** For transactions; each begins with the lock that keeps other writers out. */
  readonly writer: Kysely<Schema>;
  /** The engine's clock, milliseconds since the epoch. */
  now(db: Kysely<Schema>): Promise<number>;
  /** Keeps other writers out until the transaction ends, where its beginning has not done so. */
  lockWriters(transaction: Kysely<Schema>): Promise<void>;
  /** Tells other instances of the change when the transaction commits, where the engine can. */
  announce(transaction: Kysely<Schema>): Promise<void>;
  watch(listener: () => void): () => void;
  readonly lookEvery: number;
  close(): Promise<void>;
}

/**
 * Brings the schema up to date. Safe when several instances do it at once.
 *
 * @throws StartupError where a newer version has changed what this one needs; nothing is changed then
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
    const newer = rows.filter((row) => MIGRATIONS[row.name] === undefined);
    const isComplete = rows.length - newer.length === Object.keys(MIGRATIONS).length;
    const unknown = newer.find((row) => !(isComplete && row.name.endsWith("_expand")));
    if (unknown !== undefined) {
      throw new StartupError(
        `the database has schema '${unknown.name}', which this version does not know: ` +
          "it was written by a newer countersign-core; start that version, or use another database",
      );
    }
    if (isComplete) return;
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
    // The state is read in the same transaction: an epoch never comes with rows of another one.
    readSnapshot: () => engine.reader.transaction().setIsolationLevel("repeatable read").execute(readSnapshot),
    write,
    watch: (listener) => engine.watch(listener),
    lookEvery: engine.lookEvery,
    close: () => engine.close(),
  });

  async function readSnapshot(db: Transaction<Schema>): Promise<StoreSnapshot> {
    const state = await readState(db);
    const apps = await db.selectFrom("apps").selectAll().orderBy("created_at").orderBy("app_id").execute();
    const keys = await db.selectFrom("signing_keys").selectAll().orderBy("sequence").execute();
    const tokens = await db.selectFrom("revoked_tokens").selectAll().execute();
    const services = await db.selectFrom("revoked_services").selectAll().execute();
    const { rotation } = await db.selectFrom("core_state").select("rotation").executeTakeFirstOrThrow();
    return {
      ...state,
      apps: apps.map(toApp),
      keys: keys.map(toKey),
      revokedTokens: tokens.map(toRevokedToken),
      revokedServices: services.map(toRevokedService),
      rotation: rotation === null ? undefined : (JSON.parse(rotation) as RotationPolicy),
    };
  }

  function write<T>(work: (writer: StoreWriter) => Promise<T>): Promise<T> {
    // Read committed: what is read after the lock was had is what the writer before has left, whatever the server's habit.
    const transaction = engine.writer.transaction().setIsolationLevel("read committed");
    return transaction.execute(async (db) => {
      await engine.lockWriters(db);
      const writer = new SqlWriter(db, await engine.now(db));
      const result = await work(writer);
      if (writer.changed) {
        await db
          .updateTable("core_state")
          .set((row) => ({ epoch: row("epoch", "+", 1) }))
          .execute();
        await engine.announce(db);
      }
      return result;
    });
  }
}

class SqlWriter implements StoreWriter {
  readonly #db: Transaction<Schema>;
  readonly now: number;
  changed = false;

  constructor(db: Transaction<Schema>, now: number) {
    this.#db = db;
    this.now = now;
  }

  async app(appId: string): Promise<StoredApp | undefined> {
    const row = await this.#db.selectFrom("apps").selectAll().where("app_id", "=", appId).executeTakeFirst();
    return row && toApp(row);
  }

  async order(): Promise<StoreOrder> {
    return this.#db.selectFrom("core_state").select(["epoch", "generation"]).executeTakeFirstOrThrow();
  }

  async apps(): Promise<StoredApp[]> {
    const rows = await this.#db.selectFrom("apps").selectAll().orderBy("created_at").orderBy("app_id").execute();
    return rows.map(toApp);
  }

  async insertApp(appId: string, facts: Partial<StoredApp> = {}): Promise<void> {
    this.changed = true;
    const { createdAt = this.now, algorithms = null } = facts;
    const row = { app_id: appId, created_at: createdAt, algorithms: textOf(algorithms) };
    await this.#db.insertInto("apps").values(row).execute();
  }

  async setAlgorithms(appId: string, algorithms: readonly Algorithm[] | null): Promise<void> {
    const text = textOf(algorithms);
    const { numUpdatedRows } = await this.#db
      .updateTable("apps")
      .set({ algorithms: text })
      .where("app_id", "=", appId)
      .where("algorithms", "is distinct from", text)
      .executeTakeFirst();
    this.changed ||= numUpdatedRows > 0n;
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

  async updateKey(appId: string, kid: string, dates: KeyDates): Promise<void> {
    const before = (await this.keysOf(appId)).find((key) => key.kid === kid);
    if (before === undefined) return;
    let differs = false;
    for (const [name, date] of Object.entries(dates) as [keyof KeyDates, number | null | undefined][]) {
      if (date === undefined) continue;
      // What was promised with a date is kept: without one (null), it was promised for ever.
      if ((date ?? Infinity) > (before[name] ?? Infinity)) throw new RangeError(`${name} of a key never moves later`);
      differs ||= date !== before[name];
    }
    if (!differs) return;
    this.changed = true;
    await this.#db
      .updateTable("signing_keys")
      .set({
        ...(dates.signsFrom === undefined ? {} : { signs_from: dates.signsFrom }),
        ...(dates.signsUntil === undefined ? {} : { signs_until: dates.signsUntil }),
        ...(dates.verifiesUntil === undefined ? {} : { verifies_until: dates.verifiesUntil }),
        ...(dates.revokedAt === undefined ? {} : { revoked_at: dates.revokedAt }),
      })
      .where("app_id", "=", appId)
      .where("kid", "=", kid)
      .execute();
  }

  async resealKey(appId: string, kid: string, sealedPrivateKey: Uint8Array, masterKeyId: string): Promise<void> {
    const { numUpdatedRows } = await this.#db
      .updateTable("signing_keys")
      .set({ sealed_private_key: Buffer.from(sealedPrivateKey).toString("base64url"), master_key_id: masterKeyId })
      .where("app_id", "=", appId)
      .where("kid", "=", kid)
      .executeTakeFirst();
    this.changed ||= numUpdatedRows > 0n;
  }

  async revocationsOf(appId: string): Promise<Revocations> {
    const tokens = await this.#db.selectFrom("revoked_tokens").selectAll().where("app_id", "=", appId).execute();
    const services = await this.#db.selectFrom("revoked_services").selectAll().where("app_id", "=", appId).execute();
    return { tokens: tokens.map(toRevokedToken), services: services.map(toRevokedService) };
  }

  async upsertRevokedToken({ appId, jti, expiresAt }: RevokedToken): Promise<void> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("revoked_tokens")
      .values({ app_id: appId, jti, expires_at: expiresAt })
      .onConflict((conflict) =>
        conflict
          .columns(["app_id", "jti"])
          .doUpdateSet({ expires_at: expiresAt })
          .where("revoked_tokens.expires_at", "<", expiresAt),
      )
      .executeTakeFirst();
    this.changed ||= (numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  async deleteExpiredTokens(now: number): Promise<void> {
    const { numDeletedRows } = await this.#db
      .deleteFrom("revoked_tokens")
      .where("expires_at", "<", now)
      .executeTakeFirst();
    this.changed ||= numDeletedRows > 0n;
  }

  async upsertRevokedService({ appId, service, notBefore }: RevokedService): Promise<void> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("revoked_services")
      .values({ app_id: appId, service, not_before: notBefore })
      .onConflict((conflict) =>
        conflict
          .columns(["app_id", "service"])
          .doUpdateSet({ not_before: notBefore })
          .where("revoked_services.not_before", "<", notBefore),
      )
      .executeTakeFirst();
    this.changed ||= (numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  async raiseGeneration(above = 0): Promise<void> {
    this.changed = true;
    const { generation } = await this.order();
    const next = Math.max(generation + 1, above + 1, Math.floor(this.now / 1000));
    await this.#db.updateTable("core_state").set({ generation: next }).execute();
  }

  async setRotation(rotation: RotationPolicy): Promise<void> {
    await this.#db
      .updateTable("core_state")
      .set({ rotation: JSON.stringify(rotation) })
      .execute();
  }

  async clear(): Promise<void> {
    const { numDeletedRows } = await this.#db.deleteFrom("apps").executeTakeFirst(); // the rest goes with them
    this.changed ||= numDeletedRows > 0n;
  }
}

function toApp(row: Selectable<Schema["apps"]>): StoredApp {
  const algorithms = row.algorithms === null ? null : (row.algorithms.split(" ") as Algorithm[]);
  return { appId: row.app_id, createdAt: row.created_at, algorithms };
}

function textOf(algorithms: readonly Algorithm[] | null): string | null {
  return algorithms === null ? null : algorithms.join(" ");
}

function toRevokedToken(row: Selectable<Schema["revoked_tokens"]>): RevokedToken {
  return { appId: row.app_id, jti: row.jti, expiresAt: row.expires_at };
}

function toRevokedService(row: Selectable<Schema["revoked_services"]>): RevokedService {
  return { appId: row.app_id, service: row.service, notBefore: row.not_before };
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
