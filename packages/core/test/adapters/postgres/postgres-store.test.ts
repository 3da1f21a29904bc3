import { createServer, type AddressInfo } from "node:net";
import { inspect } from "node:util";
import pg from "pg";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { openPostgresStore } from "../../../src/adapters/postgres/postgres-store.ts";
import { StoreUnavailable, type Store } from "../../../src/ports/store.ts";
import { StartupError } from "../../../src/ports/startup-error.ts";
import { describeStore } from "../../ports/store/contract.ts";
import { appIdsOf } from "../../ports/store/fixture.ts";
import { describeOnPostgres, itOnOwnPostgres, type PostgresServer } from "../../support/postgres.ts";
import { startProxy, through } from "../../support/proxy.ts";
import { storedKey } from "../../support/stored-key.ts";

await describeOnPostgres((server) => {
  describeStore("PostgreSQL", { notifies: true, settableClock: false }, async () => {
    const url = await server.newDatabase();
    return { open: () => openPostgresStore({ url, poolSize: 8 }) };
  });
  describePostgres(server);
});

function describePostgres(server: PostgresServer): void {
  async function open(url: string, poolSize = 8): Promise<Store> {
    const store = await openPostgresStore({ url, poolSize });
    onTestFinished(() => store.close());
    return store;
  }
  const backendsOf = (url: string) =>
    server.query<{ pid: number }>(
      url,
      "select pid from pg_stat_activity where datname = current_database() and application_name = 'countersign-core'",
    );
  const terminateAll = (url: string) =>
    server.query(
      url,
      "select pg_terminate_backend(pid) from pg_stat_activity " +
        "where datname = current_database() and application_name = 'countersign-core'",
    );

  /** Returns the error message, after checking that the error and its causes do not contain the password. */
  async function refusalOf(url: string): Promise<string> {
    const error = await openPostgresStore({ url, poolSize: 8 }).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(StartupError);
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("hunter2");
    const { message } = error as Error;
    expect(message).not.toContain("\n");
    return message;
  }

  describe("a database that cannot be used is rejected in one line, without the password (S6)", () => {
    const at = (port: number) => `postgres://core:hunter2@127.0.0.1:${port}/keys`;

    it("nothing listens on the port", async () => {
      const free = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => free.once("listening", resolve));
      const { port } = free.address() as AddressInfo;
      await new Promise((resolve) => free.close(resolve));
      expect(await refusalOf(at(port))).toBe(
        `cannot use the database 127.0.0.1:${port}/keys: connection refused; ` +
          "check --database (or COUNTERSIGN_DATABASE), and that the server is running",
      );
      expect(await refusalOf(at(port).replace("127.0.0.1", "localhost"))).toMatch(/: connection refused;/);
    });

    it("the server never responds: gives up after 5 s", async () => {
      const silent = createServer(() => {}).listen(0, "127.0.0.1");
      onTestFinished(() => void silent.close());
      await new Promise((resolve) => silent.once("listening", resolve));
      const began = performance.now();
      expect(await refusalOf(at((silent.address() as AddressInfo).port))).toMatch(/: no response in time;/);
      expect(performance.now() - began).toBeLessThan(6_000);
    });

    it("the server is not a database server", async () => {
      const other = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")).listen(0, "127.0.0.1");
      onTestFinished(() => void other.close());
      await new Promise((resolve) => other.once("listening", resolve));
      await refusalOf(at((other.address() as AddressInfo).port));
    });

    it("the database is missing", async () => {
      const url = new URL(await server.newDatabase());
      url.pathname = "/missing";
      expect(await refusalOf(url.href)).toMatch(/database "missing" does not exist/);
    });

    itOnOwnPostgres("the password is wrong or missing", async () => {
      const url = new URL(await server.newDatabase());
      await server.query(url.href, "create role with_password login password 'right'");
      url.username = "with_password";
      url.password = "hunter2";
      expect(await refusalOf(url.href)).toMatch(/password authentication failed for user "with_password"/);
      url.password = "";
      expect(await refusalOf(url.href)).toMatch(/the server requires a password, but the URL has none/);
      await expect(open(url.href.replace("with_password", "with_password:right"))).rejects.toThrow(/permission denied/);
    });

    it("a newer version has written it: rejected, and nothing in it changes (R14)", async () => {
      const url = await server.newDatabase();
      await (await open(url)).close();
      await server.query(
        url,
        "insert into countersign_migration (name, timestamp) values ('9999_future', '2030-01-01')",
      );
      // xmin: the last transaction that changed a row, in our tables or in the catalog.
      const readContent = async () => [
        await server.query(url, "select xmin, * from countersign_migration order by name"),
        await server.query(url, "select xmin, * from core_state"),
        await server.query(url, "select xmin, relname from pg_class order by relname"),
      ];
      const before = await readContent();
      expect(await refusalOf(url)).toMatch(/schema version "9999_future".*newer countersign-core.*another database/);
      expect(await readContent()).toEqual(before);
    });
  });

  it("sends only connection parameters that a pooler accepts", async () => {
    const asked: string[] = [];
    const pooler = createServer((socket) => {
      socket.once("data", (packet) => {
        // Length and protocol version, then names and values, each terminated by NUL.
        const words = packet.subarray(8).toString().split("\0").slice(0, -2);
        asked.push(...words.filter((_, i) => i % 2 === 0));
        socket.destroy();
      });
    }).listen(0, "127.0.0.1");
    onTestFinished(() => void pooler.close());
    await new Promise((resolve) => pooler.once("listening", resolve));
    const url = `postgres://core:hunter2@127.0.0.1:${(pooler.address() as AddressInfo).port}/keys`;
    await expect(openPostgresStore({ url, poolSize: 2 })).rejects.toThrow(StartupError);
    // The parameters that PgBouncer knows. It closes a connection that sends any other.
    expect(asked.sort()).toEqual(["application_name", "client_encoding", "database", "user"]);
  });

  it("ends a slow statement and an idle transaction by timeouts that it sets on its own sessions", async () => {
    const store = await open(await server.newDatabase());
    await expect(
      store.write(async (writer) => {
        await writer.apps.insert("slow");
        await new Promise((resolve) => setTimeout(resolve, 5_500));
        await writer.apps.insert("too late");
      }),
    ).rejects.toThrow(StoreUnavailable);
    expect(appIdsOf(await store.readSnapshot())).toEqual([]);
  });

  it("uses only its own schema and its own names: other programs use the same library", async () => {
    const url = await server.newDatabase();
    const foreign = "(name varchar(255) primary key, timestamp varchar(255) not null)";
    for (const schema of ["public", "other"]) {
      await server.query(url, `create schema if not exists ${schema}`);
      await server.query(url, `create table ${schema}.kysely_migration ${foreign}`);
      await server.query(url, `insert into ${schema}.kysely_migration values ('2024_of_another_program', 'x')`);
    }
    // The tables of another core of a later version, in another schema.
    await server.query(url, `create table other.countersign_migration ${foreign}`);
    await server.query(url, "insert into other.countersign_migration values ('9999_future', 'x')");
    await server.query(url, "create table other.signing_keys (id integer)");
    const store = await open(url);
    await store.write((writer) => writer.apps.insert("public"));
    await store.close();
    expect(appIdsOf(await (await open(url)).readSnapshot())).toEqual(["public"]);
    expect(await server.query(url, "select name from public.kysely_migration")).toHaveLength(1);

    // Two cores in one database, each in its own schema.
    const third = new URL(url);
    await server.query(url, "create schema third");
    third.searchParams.set("options", "-c search_path=third");
    const apart = await open(third.href);
    expect(appIdsOf(await apart.readSnapshot())).toEqual([]);
    await apart.write((writer) => writer.apps.insert("apart"));
    expect(await server.query(url, "select app_id from third.apps")).toEqual([{ app_id: "apart" }]);
  });

  it("is migrated once if sixteen instances open it at the same time (R14)", async () => {
    const url = await server.newDatabase();
    const stores = await Promise.all(Array.from({ length: 16 }, () => open(url, 2)));
    await stores[0]!.write((writer) => writer.apps.insert("public"));
    for (const store of stores) {
      const snapshot = await store.readSnapshot();
      expect([appIdsOf(snapshot), snapshot.epoch]).toEqual([["public"], 2]);
    }
  });

  it("uses the server's clock (R8)", async () => {
    const url = await server.newDatabase();
    const store = await open(url);
    const clock = async () => {
      const [row] = await server.query<{ now: string }>(
        url,
        "select extract(epoch from clock_timestamp()) * 1000 as now",
      );
      return Number(row!.now);
    };
    const before = await clock();
    const times = [
      (await store.readState()).now,
      (await store.readSnapshot()).now,
      await store.write(async (writer) => writer.now),
    ];
    const after = await clock();
    expect(times.every(Number.isInteger)).toBe(true);
    expect([Math.floor(before), ...times, after]).toEqual([Math.floor(before), ...times, after].sort((a, b) => a - b));
  });

  it("runs transactions one after another, for any default isolation level of the server (R7)", async () => {
    const url = await server.newDatabase();
    await server.query(
      url,
      `alter database ${new URL(url).pathname.slice(1)} set default_transaction_isolation = serializable`,
    );
    const stores = [await open(url), await open(url), await open(url)];
    await stores[0]!.write((writer) => writer.apps.insert("public"));
    await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        stores[i % 3]!.write(async (writer) => {
          const sequence = (await writer.keys.listIn("public")).length + 1;
          await writer.keys.insert(storedKey({ kid: `k-${sequence}`, sequence }));
        }),
      ),
    );
    expect((await stores[0]!.readSnapshot()).keys).toHaveLength(30);
  });

  it("never opens more connections than its pool and one listener (R5)", async () => {
    const proxy = await startProxy(server);
    const store = await open(through(proxy, await server.newDatabase()), 3);
    store.watch(() => {});
    const reads = Array.from({ length: 60 }, () => store.readSnapshot());
    const writes = Array.from({ length: 20 }, (_, i) => store.write((writer) => writer.apps.insert(`app-${i}`)));
    await Promise.all([...reads, ...writes]);
    expect(proxy.mostOpen()).toBe(4);
  });

  it("R3 gives up on a lock of another process within 5 s, for any number of waiting writers, and never blocks readers", async () => {
    const url = await server.newDatabase();
    const store = await open(url);
    const foreign = new pg.Client({ connectionString: url });
    await foreign.connect();
    onTestFinished(() => foreign.end());
    await foreign.query("begin");
    // Takes the lock of a writer, for any lock number.
    await store.write(async (writer) => {
      await writer.apps.insert("before");
      const locks = await foreign.query("select objid, classid from pg_locks where locktype = 'advisory' and granted");
      expect(locks.rows).toHaveLength(1);
      const { objid, classid } = locks.rows[0] as { objid: string; classid: string };
      const key = BigInt(classid) * 2n ** 32n + BigInt(objid);
      void foreign.query("select pg_advisory_lock($1)", [String(key)]);
    });
    const waits = (count: number) =>
      Array.from({ length: count }, async () => {
        const began = performance.now();
        await expect(store.write((writer) => writer.apps.insert("late"))).rejects.toThrow(StoreUnavailable);
        return performance.now() - began;
      });
    const early = waits(4);
    const began = performance.now();
    expect(appIdsOf(await store.readSnapshot())).toEqual(["before"]);
    expect(performance.now() - began).toBeLessThan(1_000);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    // Each waits for its own 5 s, not for the sum of all waits.
    const times = await Promise.all([...early, ...waits(2)]);
    expect(Math.min(...times)).toBeGreaterThan(4_400);
    expect(Math.max(...times)).toBeLessThan(5_500);
    await foreign.query("select pg_advisory_unlock_all()");
    await foreign.query("commit");
    await store.write((writer) => writer.apps.insert("after"));
    expect(appIdsOf(await store.readSnapshot())).toEqual(["before", "after"]);
  });

  describe("a connection that breaks (R4)", () => {
    it("fails only the transaction that used it, and the next one succeeds", async () => {
      const url = await server.newDatabase();
      const store = await open(url);
      const failing = store.write(async (writer) => {
        await writer.apps.insert("half");
        await terminateAll(url);
        // No query is running when the disconnect arrives.
        await vi.waitFor(async () => expect(await backendsOf(url)).toEqual([]));
        await writer.apps.insert("other half");
      });
      await expect(failing).rejects.toThrow(StoreUnavailable);
      await store.write((writer) => writer.apps.insert("whole"));
      expect(appIdsOf(await store.readSnapshot())).toEqual(["whole"]);
    });

    it("is replaced unnoticed if it was idle", async () => {
      const url = await server.newDatabase();
      const store = await open(url);
      await store.readState();
      await terminateAll(url);
      await vi.waitFor(async () => expect(await backendsOf(url)).toEqual([]));
      await vi.waitFor(() => store.readState(), { interval: 10, timeout: 1_000 });
    });

    it("is given up after 6 s of silence, and is not used again once the network recovers", async () => {
      const proxy = await startProxy(server);
      const store = await open(through(proxy, await server.newDatabase()), 2);
      await store.write((writer) => writer.apps.insert("public"));
      proxy.silent = true;
      const began = performance.now();
      const settled = await Promise.allSettled([
        store.readState(),
        store.readSnapshot(),
        store.write((writer) => writer.apps.insert("lost")),
      ]);
      expect(performance.now() - began).toBeLessThan(7_000);
      for (const one of settled) expect(one).toMatchObject({ reason: expect.any(StoreUnavailable) });
      proxy.silent = false;
      expect(appIdsOf(await store.readSnapshot())).toEqual(["public"]);
      await store.write((writer) => writer.apps.insert("found"));
    });

    it("is replaced for the listener, which then polls for missed changes", async () => {
      const url = await server.newDatabase();
      const [store, other] = [await open(url), await open(url)];
      let notified = 0;
      store.watch(() => notified++);
      await vi.waitFor(() => expect(notified).toBe(1));
      await terminateAll(url);
      await vi.waitFor(() => expect(notified).toBe(2), { timeout: 5_000 }); // when it listens again
      await vi.waitFor(() => other.write((writer) => writer.apps.insert("public")), { timeout: 2_000 });
      await vi.waitFor(() => expect(notified).toBe(3), { timeout: 1_000 });
    });
  });

  it("closes without waiting for an unavailable server (R18)", async () => {
    const proxy = await startProxy(server);
    const store = await open(through(proxy, await server.newDatabase()));
    let notified = 0;
    store.watch(() => notified++);
    await vi.waitFor(() => expect(notified).toBe(1));
    proxy.silent = true;
    const began = performance.now();
    await store.close();
    expect(performance.now() - began).toBeLessThan(2_000);
    await store.close();
    await expect(store.readState()).rejects.toThrow();
  });
}
