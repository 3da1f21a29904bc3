// R14: during a rolling upgrade, old instances use the new schema next to new instances.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import pg from "pg";
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createEnvelopeVault } from "../../../src/adapters/vault/envelope-vault.ts";
import { embedCore, startCore } from "../../../src/index.ts";
import { generateKeyMaterial } from "../../../src/crypto/private-keys.ts";
import { ADMIN_KEY } from "../../support/core.ts";
import { itOnPostgres, sharedPostgres } from "../../support/postgres.ts";
import { openDatabase } from "../../support/sqlite.ts";
import { tempDir } from "../../support/temp-dir.ts";

type Row = Record<string, unknown>;

/** The database access of the first version; `?` is a parameter. */
interface OldConnection {
  all(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
}

/**
 * The frozen statements of the version that had only migration 0001. They name only its tables and columns.
 * Do not update them.
 */
class OldStore {
  readonly #db: OldConnection;
  readonly #begin: string;

  constructor(db: OldConnection, begin: string) {
    this.#db = db;
    this.#begin = begin;
  }

  async readState(): Promise<{ epoch: number; generation: number }> {
    const [row] = await this.#db.all("select epoch, generation from core_state");
    return { epoch: Number(row!["epoch"]), generation: Number(row!["generation"]) };
  }

  async readApps(): Promise<string[]> {
    const rows = await this.#db.all("select * from apps order by created_at, app_id");
    return rows.map((row) => String(row["app_id"]));
  }

  async readKeys(): Promise<Row[]> {
    return this.#db.all("select * from signing_keys order by sequence");
  }

  insertApp(appId: string): Promise<void> {
    return this.#write(async () => {
      await this.#db.all("insert into apps (app_id, created_at) values (?, ?)", [appId, Date.now()]);
    });
  }

  insertKey(row: Row): Promise<void> {
    return this.#write(async () => {
      const names = Object.keys(row);
      const sql = `insert into signing_keys (${names.join(", ")}) values (${names.map(() => "?").join(", ")})`;
      await this.#db.all(sql, Object.values(row));
    });
  }

  deleteKey(appId: string, kid: string): Promise<void> {
    return this.#write(async () => {
      await this.#db.all("delete from signing_keys where app_id = ? and kid = ?", [appId, kid]);
    });
  }

  async #write(work: () => Promise<void>): Promise<void> {
    await this.#db.all(this.#begin);
    try {
      await work();
      await this.#db.all("update core_state set epoch = epoch + 1");
      await this.#db.all("commit");
    } catch (error) {
      await this.#db.all("rollback");
      throw error;
    }
  }
}

interface Place {
  readonly options: { dataDir?: string; database?: string };
  connect(): Promise<OldStore>;
  /** Runs a statement outside of any core. */
  run(sql: string): Promise<Row[]>;
}

async function onSqlite(): Promise<Place> {
  const dataDir = join(await tempDir(), "data");
  return {
    options: { dataDir },
    async run(sql) {
      const database = await openDatabase(join(dataDir, "countersign.db"));
      try {
        return database.prepare(sql).all() as Row[];
      } finally {
        database.close();
      }
    },
    async connect() {
      const database = await openDatabase(join(dataDir, "countersign.db"));
      onTestFinished(() => database.close());
      database.exec("pragma foreign_keys = on; pragma busy_timeout = 5000");
      const all = async (sql: string, parameters: readonly unknown[] = []) => {
        const statement = database.prepare(sql);
        if (statement.columns().length > 0) return statement.all(...parameters) as Row[];
        statement.run(...parameters);
        return [];
      };
      return new OldStore({ all }, "begin immediate");
    },
  };
}

async function onPostgres(): Promise<Place> {
  const server = await sharedPostgres();
  const database = await server.newDatabase();
  return {
    options: { database },
    run: (sql) => server.query(database, sql),
    async connect() {
      const client = new pg.Client({ connectionString: database });
      await client.connect();
      onTestFinished(() => client.end());
      const all = async (sql: string, parameters: readonly unknown[] = []) => {
        let i = 0;
        return (await client.query<Row>({ text: sql.replaceAll("?", () => `$${++i}`), values: [...parameters] })).rows;
      };
      return new OldStore({ all }, "begin");
    },
  };
}

const PLACES = [
  ["SQLite", it, onSqlite],
  ["PostgreSQL", itOnPostgres, onPostgres],
] as const;

/** Reverts later migrations, the latest first. */
const BACK_TO_0003 = [
  "alter table revoked_tokens drop column service",
  "drop table used_assertions",
  "drop table trusts",
  "drop table client_keys",
  "drop table reported_calls",
  "drop table policy_versions",
  "drop table service_credentials",
  "drop table services",
  "alter table core_state drop column rotation",
];

async function migrations(place: Place): Promise<string[]> {
  const rows = await place.run("select name from countersign_migration order by name");
  return rows.map((row) => String(row["name"]));
}

describe.each(PLACES)("the schema of the previous version, on %s", (_, itHere, open) => {
  itHere(
    "R14 is not changed by a start with the wrong master key, and migrated by one with the right key",
    async () => {
      const place = await open();
      const start = async () => {
        const environment = { COUNTERSIGN_MASTER_KEY: masterKey.toString("base64url") };
        const core = await embedCore({ ...place.options, rotation: { algorithms: ["ES256"] } }, { environment });
        await core.close();
      };
      const right = randomBytes(32);
      let masterKey = right;
      await start();
      const newest = await migrations(place);
      for (const statement of BACK_TO_0003) await place.run(statement);
      await place.run("delete from countersign_migration where name >= '0004'");
      const readContent = async () => [
        Object.keys((await place.run("select * from core_state"))[0]!),
        await migrations(place),
        await place.run("select * from core_state"),
      ];
      const before = await readContent();
      masterKey = randomBytes(32);
      await expect(start()).rejects.toThrow(/encrypted with master key [0-9a-f]{16}, but the configured one is/);
      expect(await readContent()).toEqual(before);
      masterKey = right;
      await start();
      expect(await migrations(place)).toEqual(newest);
      expect(newest.length).toBeGreaterThan((before[1] as string[]).length);
    },
  );
});

describe.each(PLACES)("an instance of the first version next to a new one, on %s", (_, itHere, open) => {
  itHere(
    "R14 reads and writes the newest schema, and each signs and verifies with the keys of the other",
    async () => {
      const place = await open();
      const masterKey = randomBytes(32);
      const core = await startCore(
        {
          ...place.options,
          port: 0,
          adminKeys: [ADMIN_KEY],
          rotation: { algorithms: ["ES256"], instanceRefresh: 200 },
        },
        { environment: { COUNTERSIGN_MASTER_KEY: masterKey.toString("base64url") } },
      );
      onTestFinished(() => core.close());
      const ask = async (method: string, path: string, body?: object): Promise<{ status: number; text: string }> => {
        const init: RequestInit = { method };
        if (path.startsWith("/admin/")) init.headers = { authorization: `Bearer ${ADMIN_KEY}` };
        if (body !== undefined) init.body = JSON.stringify(body);
        const response = await fetch(core.url + path, init);
        return { status: response.status, text: await response.text() };
      };
      const old = await place.connect();

      // Data that only the new version has is in its own tables and columns.
      expect((await ask("PUT", "/admin/v1/apps/public/algorithms", { algorithms: ["ES256", "Ed25519"] })).status).toBe(
        200,
      );
      expect((await ask("POST", "/admin/v1/apps/public/revocations/services", { service: "intruder" })).status).toBe(
        200,
      );
      await vi.waitFor(async () => expect(await old.readKeys()).toHaveLength(6), { timeout: 5_000 });
      const state = await old.readState();
      expect([state.generation, state.epoch > 1, await old.readApps()]).toEqual([1, true, ["public"]]);

      // The old version creates an app and its keys. The new one finds them by the epoch and signs with them.
      const vault = createEnvelopeVault([masterKey]);
      await old.insertApp("old");
      const now = Date.now();
      const madeByOld: string[] = [];
      for (const kind of ["static", "dynamic"] as const) {
        const made = await generateKeyMaterial("old", kind, "ES256", now, vault);
        madeByOld.push(made.kid);
        await old.insertKey({
          app_id: "old",
          kid: made.kid,
          kind,
          algorithm: "ES256",
          sequence: 1,
          created_at: now,
          signs_from: now,
          signs_until: kind === "static" ? null : now + 600_000,
          verifies_until: kind === "static" ? null : now + 1_200_000,
          revoked_at: null,
          public_jwk: JSON.stringify(made.publicJwk),
          sealed_private_key: Buffer.from(made.sealedPrivateKey).toString("base64url"),
          master_key_id: made.masterKeyId,
        });
      }
      expect((await old.readState()).epoch).toBeGreaterThanOrEqual(state.epoch + 3);
      for (const useStaticSigningKey of [true, false]) {
        const body = {
          payload: { sub: "a" },
          algorithm: "ES256",
          jwksDomain: "https://a.test",
          validity: 60,
          useStaticSigningKey,
        };
        const token = await vi.waitFor(
          async () => {
            const { text } = await ask("POST", "/appid-old/recipe/jwt", body);
            return (JSON.parse(text) as { jwt: string }).jwt;
          },
          { timeout: 8_000, interval: 50 },
        );
        const keys = (await old.readKeys()).map((row) => JSON.parse(String(row["public_jwk"])) as object);
        const { protectedHeader } = await jwtVerify(token, createLocalJWKSet({ keys } as JSONWebKeySet)); // as the old version publishes
        expect(madeByOld).toContain(protectedHeader.kid);
      }
      // The new version continues: it creates the successor, which the old version reads.
      await vi.waitFor(
        async () => {
          const rows = (await old.readKeys()).filter((row) => row["app_id"] === "old" && row["kind"] === "dynamic");
          expect(rows.map((row) => Number(row["sequence"]))).toContain(2);
        },
        { timeout: 5_000 },
      );

      // Both write at the same time, and no write is lost.
      const writes = 20;
      const before = await old.readState();
      await Promise.all([
        (async () => {
          for (let i = 0; i < writes; i++) await old.insertApp(`old-${i}`);
        })(),
        (async () => {
          for (let i = 0; i < writes; i++) {
            const answer = await ask("POST", "/admin/v1/apps/public/revocations/tokens", { jti: `j-${i}` });
            expect(answer.status).toBe(200);
          }
        })(),
      ]);
      expect((await old.readState()).epoch).toBeGreaterThanOrEqual(before.epoch + 2 * writes);
      await vi.waitFor(
        async () => {
          const { apps } = JSON.parse((await ask("GET", "/admin/v1/apps")).text) as { apps: object[] };
          expect(apps).toHaveLength(2 + writes);
        },
        { timeout: 8_000 },
      );
      await old.deleteKey("old", madeByOld[1]!);
      expect((await old.readKeys()).some((row) => row["kid"] === madeByOld[1])).toBe(false);
    },
    60_000,
  );
});
