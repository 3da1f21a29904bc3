import type { Insertable, Kysely, Transaction } from "kysely";
import type { RotationPolicy } from "../../domain/keys/rotation.ts";
import type { Store, StoreContent, StoreOrder, StoreSnapshot, StoreState, StoreWriter } from "../../ports/store.ts";
import { appsIn, SqlAppWriter, toRowOfApp } from "./apps.ts";
import {
  forgetUsed,
  SqlClientWriter,
  toClientKey,
  toRowOfClientKey,
  toRowOfTrust,
  toTrust,
  useOnce,
} from "./clients.ts";
import { SqlKeyWriter, toKey, toRowOfKey } from "./keys.ts";
import {
  currentPoliciesIn,
  policyIn,
  policyVersionsIn,
  reportedIn,
  SqlPolicyWriter,
  toPolicy,
  toRowOfPolicy,
} from "./policies.ts";
import {
  SqlRevocationWriter,
  toRevokedService,
  toRevokedToken,
  toRowOfRevokedService,
  toRowOfRevokedToken,
} from "./revocations.ts";
import type { Schema } from "./schema.ts";
import {
  credentialsIn,
  SqlServiceWriter,
  toCredential,
  toRowOfCredential,
  toRowOfService,
  toService,
} from "./services.ts";
import type { SqlEngine } from "./sql-engine.ts";

export function createSqlStore(engine: SqlEngine): Store {
  async function readState(db: Kysely<Schema>): Promise<StoreState> {
    return db
      .selectFrom("core_state")
      .select(["epoch", "generation", engine.now().as("now")])
      .executeTakeFirstOrThrow();
  }

  return Object.freeze<Store>({
    readState: () => readState(engine.reader),
    readSnapshot: () => readAtomically(readSnapshot),
    readContent: () =>
      readAtomically(async (db) => {
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
    pollInterval: engine.pollInterval,
    close: () => engine.close(),
  });

  function readAtomically<T>(work: (db: Transaction<Schema>) => Promise<T>): Promise<T> {
    return engine.reader.transaction().setIsolationLevel("repeatable read").execute(work);
  }

  /** Reads the state in the same transaction as the rows, so that they always belong to its epoch. */
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
    // With "read committed", reads after the lock see what the previous writer has committed, whatever the server's
    // default is.
    const transaction = engine.writer.transaction().setIsolationLevel("read committed");
    const requestedAt = performance.now();
    return transaction.execute(async (db) => {
      await engine.lockWriters(db, performance.now() - requestedAt);
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
  readonly apps: SqlAppWriter;
  readonly keys: SqlKeyWriter;
  readonly revocations: SqlRevocationWriter;
  readonly services: SqlServiceWriter;
  readonly policies: SqlPolicyWriter;
  readonly clients: SqlClientWriter;
  changed = false;

  constructor(db: Transaction<Schema>, now: number) {
    const changed = () => void (this.changed = true);
    this.#db = db;
    this.now = now;
    this.apps = new SqlAppWriter(db, now, changed);
    this.keys = new SqlKeyWriter(db, now, changed);
    this.revocations = new SqlRevocationWriter(db, now, changed);
    this.services = new SqlServiceWriter(db, now, changed);
    this.policies = new SqlPolicyWriter(db, now, changed);
    this.clients = new SqlClientWriter(db, now, changed);
  }

  async order(): Promise<StoreOrder> {
    return this.#db.selectFrom("core_state").select(["epoch", "generation"]).executeTakeFirstOrThrow();
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
    this.changed = true;
    // S4: a backup does not contain assertions used since then. Without these rows, they could be replayed.
    const used = await this.#db.selectFrom("used_assertions").selectAll().execute();
    await this.#db.deleteFrom("apps").execute(); // cascades to every table below
    await this.#insertAll("apps", content.apps.map(toRowOfApp));
    await this.#insertAll("signing_keys", content.keys.map(toRowOfKey));
    await this.#insertAll("revoked_tokens", content.revokedTokens.map(toRowOfRevokedToken));
    await this.#insertAll("revoked_services", content.revokedServices.map(toRowOfRevokedService));
    await this.#insertAll("services", content.services.map(toRowOfService));
    await this.#insertAll("service_credentials", content.credentials.map(toRowOfCredential));
    await this.#insertAll("policy_versions", content.policyVersions.map(toRowOfPolicy));
    await this.#insertAll("client_keys", content.clientKeys.map(toRowOfClientKey));
    await this.#insertAll("trusts", content.trusts.map(toRowOfTrust));
    const restored = new Set(content.apps.map(({ appId }) => appId));
    const stillUsed = used.filter((row) => restored.has(row.app_id));
    await this.#insertAll("used_assertions", stillUsed);
  }

  /** Inserts in few statements, because all other writers wait and a round trip can take a millisecond. */
  async #insertAll<T extends keyof Schema>(table: T, rows: readonly Insertable<Schema[T]>[]): Promise<void> {
    for (let from = 0; from < rows.length; from += BATCH) {
      await this.#db
        .insertInto(table)
        .values(rows.slice(from, from + BATCH))
        .execute();
    }
  }
}

/** Rows per statement. SQLite accepts 32,766 parameters, and the widest row has 13. */
const BATCH = 1_000;
