import { Migrator, type Insertable, type Kysely, type RawBuilder, type Selectable, type Transaction } from "kysely";
import type { Algorithm, PublishedJwk } from "countersign/protocol";
import type { KeyDates } from "../../domain/keys/key-change.ts";
import type { RevokedService, RevokedToken } from "../../domain/revocation/revocation-feed.ts";
import type { RotationPolicy } from "../../domain/keys/rotation.ts";
import type {
  Revocations,
  Store,
  StoredApp,
  StoredKey,
  StoreContent,
  StoreOrder,
  StoreSnapshot,
  StoreState,
  StoreWriter,
} from "../../ports/store.ts";
import { StartupError } from "../../ports/startup-error.ts";
import {
  forgetUsed,
  SqlClientWriter,
  toClientKey,
  toRowOfClientKey,
  toRowOfTrust,
  toTrust,
  useOnce,
} from "./clients.ts";
import { MIGRATIONS } from "./migrations.ts";
import {
  currentPoliciesIn,
  policyIn,
  policyVersionsIn,
  reportedIn,
  SqlPolicyWriter,
  toPolicy,
  toRowOfPolicy,
} from "./policies.ts";
import type { Schema } from "./schema.ts";
import {
  credentialsIn,
  SqlServiceWriter,
  toCredential,
  toRowOfCredential,
  toRowOfService,
  toService,
} from "./services.ts";

/** What an engine brings to the one SQL store. Its drivers reject with StoreUnavailable for what may pass. */
export interface SqlEngine {
  /** For reads; never waits for a writer. */
  readonly reader: Kysely<Schema>;
  /** For transactions; each begins with the lock that keeps other writers out. */
  readonly writer: Kysely<Schema>;
  /** For single statements that write and need no lock of ours. */
  readonly shortWriter: Kysely<Schema>;
  /** The engine's clock in a query, milliseconds since the epoch. */
  now(): RawBuilder<number>;
  /**
   * Keeps other writers out until the transaction ends, where its beginning has not done so.
   *
   * @param waited milliseconds since the transaction was asked for: its patience is one, for its turn and for the lock
   */
  lockWriters(transaction: Kysely<Schema>, waited: number): Promise<void>;
  /** Tells other instances of the change when the transaction commits, where the engine can. */
  announce(transaction: Kysely<Schema>): Promise<void>;
  watch(listener: () => void): () => void;
  readonly lookEvery: number;
  /** Where tables are made, in an engine that has several such places in a database. */
  schema(): Promise<string | undefined>;
  close(): Promise<void>;
}

/**
 * What has to be right before the schema of a store that has keys is changed.
 *
 * @param masterKeyIds reads which master keys they are sealed under
 * @throws StartupError where it is not
 */
export type BeforeMigration = (masterKeyIds: () => Promise<readonly string[]>) => Promise<void>;

/** Ours: another program in the same database may use the same library, under its own names. */
const MIGRATION_TABLE = "countersign_migration";

/**
 * Brings the schema up to date. Safe when several instances do it at once.
 *
 * @throws StartupError where a newer version has changed what this one needs; nothing is changed then
 */
export async function migrate(engine: SqlEngine, before: BeforeMigration | undefined): Promise<void> {
  const schema = await engine.schema();
  const introspected = await engine.reader.introspection.getTables({ withInternalKyselyTables: true });
  const tables = new Set(introspected.filter((table) => table.schema === schema).map((table) => table.name));
  if (tables.has(MIGRATION_TABLE)) {
    const rows = await engine.reader
      .withTables<{ [MIGRATION_TABLE]: { name: string } }>()
      .selectFrom(MIGRATION_TABLE)
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
  if (tables.has("signing_keys")) {
    await before?.(async () => {
      const rows = await engine.reader.selectFrom("signing_keys").select("master_key_id").distinct().execute();
      return rows.map((row) => row.master_key_id);
    });
  }
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

export function createSqlStore(engine: SqlEngine): Store {
  async function readState(db: Kysely<Schema>): Promise<StoreState> {
    return db
      .selectFrom("core_state")
      .select(["epoch", "generation", engine.now().as("now")])
      .executeTakeFirstOrThrow();
  }

  return Object.freeze<Store>({
    readState: () => readState(engine.reader),
    // The state is read in the same transaction: an epoch never comes with rows of another one.
    readSnapshot: () => readAtOneMoment(readSnapshot),
    readContent: () =>
      readAtOneMoment(async (db) => {
        const versions = await db.selectFrom("policy_versions").selectAll().orderBy("version").execute();
        return { ...(await readSnapshot(db)), policyVersions: versions.map(toPolicy) };
      }),
    readPolicyVersions: (appId) => policyVersionsIn(engine.reader, appId),
    readPolicy: (appId, version) => policyIn(engine.reader, appId, version),
    readReported: (appId) => reportedIn(engine.reader, appId),
    readCredentials: (appId, service) => credentialsIn(engine.reader, appId, service),
    useOnce: (uses) => useOnce(engine.shortWriter, uses, engine.now()),
    forgetUsed: () => forgetUsed(engine.shortWriter, engine.now()),
    write,
    watch: (listener) => engine.watch(listener),
    lookEvery: engine.lookEvery,
    close: () => engine.close(),
  });

  function readAtOneMoment<T>(work: (db: Transaction<Schema>) => Promise<T>): Promise<T> {
    return engine.reader.transaction().setIsolationLevel("repeatable read").execute(work);
  }

  async function readSnapshot(db: Transaction<Schema>): Promise<StoreSnapshot> {
    const state = await readState(db);
    const apps = await appsIn(db);
    const keys = await db.selectFrom("signing_keys").selectAll().orderBy("sequence").execute();
    const tokens = await db.selectFrom("revoked_tokens").selectAll().execute();
    const services = await db.selectFrom("revoked_services").selectAll().execute();
    const registered = await db.selectFrom("services").selectAll().orderBy("service").execute();
    const credentials = await db.selectFrom("service_credentials").selectAll().execute();
    const { rotation } = await db.selectFrom("core_state").select("rotation").executeTakeFirstOrThrow();
    return {
      ...state,
      apps,
      keys: keys.map(toKey),
      revokedTokens: tokens.map(toRevokedToken),
      revokedServices: services.map(toRevokedService),
      rotation: rotation === null ? undefined : (JSON.parse(rotation) as RotationPolicy),
      services: registered.map(toService),
      credentials: credentials.map(toCredential),
      policies: await currentPoliciesIn(db),
      clientKeys: (await db.selectFrom("client_keys").selectAll().orderBy("kid").execute()).map(toClientKey),
      trusts: (await db.selectFrom("trusts").selectAll().orderBy("trust_id").execute()).map(toTrust),
    };
  }

  function write<T>(work: (writer: StoreWriter) => Promise<T>): Promise<T> {
    // Read committed: what is read after the lock was had is what the writer before has left, whatever the server's habit.
    const transaction = engine.writer.transaction().setIsolationLevel("read committed");
    const asked = performance.now();
    return transaction.execute(async (db) => {
      await engine.lockWriters(db, performance.now() - asked);
      const { now } = await db.selectNoFrom(engine.now().as("now")).executeTakeFirstOrThrow();
      const writer = new SqlWriter(db, now);
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
  readonly services: SqlServiceWriter;
  readonly policies: SqlPolicyWriter;
  readonly clients: SqlClientWriter;
  changed = false;

  constructor(db: Transaction<Schema>, now: number) {
    this.#db = db;
    this.now = now;
    this.services = new SqlServiceWriter(db, now, () => (this.changed = true));
    this.policies = new SqlPolicyWriter(db, now, () => (this.changed = true));
    this.clients = new SqlClientWriter(db, now, () => (this.changed = true));
  }

  async app(appId: string): Promise<StoredApp | undefined> {
    const row = await this.#db.selectFrom("apps").selectAll().where("app_id", "=", appId).executeTakeFirst();
    return row && toApp(row);
  }

  async order(): Promise<StoreOrder> {
    return this.#db.selectFrom("core_state").select(["epoch", "generation"]).executeTakeFirstOrThrow();
  }

  async apps(): Promise<StoredApp[]> {
    return appsIn(this.#db);
  }

  async insertApp(appId: string): Promise<void> {
    this.changed = true;
    const row = toAppRow({ appId, createdAt: this.now, algorithms: null });
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

  async endRotationDue(appId: string): Promise<void> {
    this.changed = true;
    await this.#db.updateTable("apps").set({ rotation_due: 0 }).where("app_id", "=", appId).execute();
  }

  async deleteApp(appId: string): Promise<boolean> {
    const { numDeletedRows } = await this.#db.deleteFrom("apps").where("app_id", "=", appId).executeTakeFirst();
    const existed = numDeletedRows > 0n;
    this.changed ||= existed;
    return existed;
  }

  async keysOf(appId: string): Promise<StoredKey[]> {
    const rows = await this.#db
      .selectFrom("signing_keys")
      .selectAll()
      .where("app_id", "=", appId)
      .orderBy("sequence")
      .execute();
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

  async upsertRevokedToken(revoked: RevokedToken): Promise<void> {
    const { expiresAt } = revoked;
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("revoked_tokens")
      .values(toTokenRow(revoked))
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

  async upsertRevokedService(revoked: RevokedService): Promise<void> {
    const { notBefore } = revoked;
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("revoked_services")
      .values(toServiceRow(revoked))
      .onConflict((conflict) =>
        conflict
          .columns(["app_id", "service"])
          .doUpdateSet({ not_before: notBefore })
          .where("revoked_services.not_before", "<", notBefore),
      )
      .executeTakeFirst();
    this.changed ||= (numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  async raiseGeneration(above = 0): Promise<number> {
    this.changed = true;
    const { generation } = await this.order();
    const next = Math.max(generation + 1, above + 1, Math.floor(this.now / 1000));
    await this.#db.updateTable("core_state").set({ generation: next }).execute();
    await this.#db.updateTable("apps").set({ rotation_due: 1 }).execute();
    return next;
  }

  async setRotation(rotation: RotationPolicy): Promise<void> {
    await this.#db
      .updateTable("core_state")
      .set({ rotation: JSON.stringify(rotation) })
      .execute();
  }

  async replaceContent(content: StoreContent): Promise<void> {
    const { apps, keys, revokedTokens, revokedServices, services, credentials, policyVersions } = content;
    this.changed = true;
    // S4 a backup does not know what was used since, and would let it through again.
    const used = await this.#db.selectFrom("used_assertions").selectAll().execute();
    await this.#db.deleteFrom("apps").execute(); // the rest goes with them
    await this.#insertAll("apps", apps.map(toAppRow));
    await this.#insertAll("signing_keys", keys.map(toRow));
    await this.#insertAll("revoked_tokens", revokedTokens.map(toTokenRow));
    await this.#insertAll("revoked_services", revokedServices.map(toServiceRow));
    await this.#insertAll("services", services.map(toRowOfService));
    await this.#insertAll("service_credentials", credentials.map(toRowOfCredential));
    await this.#insertAll("policy_versions", policyVersions.map(toRowOfPolicy));
    await this.#insertAll("client_keys", content.clientKeys.map(toRowOfClientKey));
    await this.#insertAll("trusts", content.trusts.map(toRowOfTrust));
    const restored = new Set(apps.map(({ appId }) => appId));
    const stillUsed = used.filter((row) => restored.has(row.app_id));
    await this.#insertAll("used_assertions", stillUsed);
  }

  /** In few statements: everybody else waits meanwhile, and the next server may be a millisecond away. */
  async #insertAll<T extends keyof Schema>(table: T, rows: readonly Insertable<Schema[T]>[]): Promise<void> {
    for (let from = 0; from < rows.length; from += BATCH) {
      await this.#db
        .insertInto(table)
        .values(rows.slice(from, from + BATCH))
        .execute();
    }
  }
}

/** Rows of one statement. SQLite takes 32,766 parameters, and the widest row has 13. */
const BATCH = 1_000;

async function appsIn(db: Kysely<Schema>): Promise<StoredApp[]> {
  const rows = await db.selectFrom("apps").selectAll().orderBy("created_at").orderBy("app_id").execute();
  return rows.map(toApp);
}

function toApp(row: Selectable<Schema["apps"]>): StoredApp {
  const algorithms = row.algorithms === null ? null : (row.algorithms.split(" ") as Algorithm[]);
  return { appId: row.app_id, createdAt: row.created_at, algorithms, rotationDue: row.rotation_due === 1 };
}

function toAppRow({ appId, createdAt, algorithms }: Omit<StoredApp, "rotationDue">): Schema["apps"] {
  return { app_id: appId, created_at: createdAt, algorithms: textOf(algorithms), rotation_due: 0 };
}

function toTokenRow({ appId, jti, expiresAt, service }: RevokedToken): Schema["revoked_tokens"] {
  return { app_id: appId, jti, expires_at: expiresAt, service: service ?? null };
}

function toServiceRow({ appId, service, notBefore }: RevokedService): Schema["revoked_services"] {
  return { app_id: appId, service, not_before: notBefore };
}

function textOf(algorithms: readonly Algorithm[] | null): string | null {
  return algorithms === null ? null : algorithms.join(" ");
}

function toRevokedToken(row: Selectable<Schema["revoked_tokens"]>): RevokedToken {
  const revoked = { appId: row.app_id, jti: row.jti, expiresAt: row.expires_at };
  return row.service === null ? revoked : { ...revoked, service: row.service };
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
