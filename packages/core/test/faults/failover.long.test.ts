// Which server a store connects to while addresses, servers and files around it change.
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { openPostgresStore } from "../../src/adapters/postgres/postgres-store.ts";
import { StoreUnavailable, type Store } from "../../src/ports/store.ts";
import { appIdsOf } from "../ports/store/fixture.ts";
import { describeOnPostgres, itOnOwnPostgres, note, startPostgres, type PostgresServer } from "../support/postgres.ts";
import { startProxy, through } from "../support/proxy.ts";
import { tempDir } from "../support/temp-dir.ts";

await describeOnPostgres(describeFailover);

async function open(url: string, connectionLifetime?: number): Promise<Store> {
  const store = await openPostgresStore({ url, poolSize: 2, ...(connectionLifetime && { connectionLifetime }) });
  onTestFinished(() => store.close());
  return store;
}

const OURS =
  "select pid from pg_stat_activity where datname = current_database() and application_name = 'countersign-core'";

/** Returns the URL of the same database on another server. */
function on({ host, port }: PostgresServer, database: string): string {
  return through({ host, port }, database);
}

function describeFailover(server: PostgresServer): void {
  itOnOwnPostgres(
    "R4 the address moves: reader, writer and listener all switch to the new server without an error",
    async () => {
      const old = await startPostgres();
      const database = await old.newDatabase();
      const promoted = await old.standby();
      // Acts as a name that now resolves to another server, while the old server still serves its open connections.
      const proxy = await startProxy(old);
      const lifetime = 1_000;
      const store = await open(through(proxy, database), lifetime);
      let notified = 0;
      store.watch(() => notified++);
      await store.write((writer) => writer.apps.insert("before"));
      // More often than a pool's idle timeout.
      const polling = setInterval(() => void store.readState().catch(() => {}), 50);
      onTestFinished(() => clearInterval(polling));

      await promoted.query(on(promoted, database), "select pg_promote()");
      const elsewhere = await open(on(promoted, database));
      await vi.waitFor(() => elsewhere.write((writer) => writer.apps.insert("after")), { timeout: 5_000 });
      proxy.target = promoted;
      const began = performance.now();
      await vi.waitFor(async () => expect(appIdsOf(await store.readSnapshot())).toEqual(["before", "after"]), {
        timeout: 10_000,
      });
      note(`R4 the reader followed ${Math.round(performance.now() - began)} ms after, of a lifetime of ${lifetime} ms`);
      await vi.waitFor(async () => expect(await old.query(on(old, database), OURS)).toEqual([]), { timeout: 5_000 });
      await store.write((writer) => writer.apps.insert("own"));
      expect(appIdsOf(await elsewhere.readSnapshot())).toEqual(["before", "after", "own"]);
      // The store listens on the new server, too.
      const before = notified;
      await vi.waitFor(async () => {
        await elsewhere.write(async (writer) => {
          await writer.apps.delete("own");
          await writer.apps.insert("own");
        });
        expect(notified).toBeGreaterThan(before + 3); // A new connection alone notifies only once.
      });
    },
    30_000,
  );

  itOnOwnPostgres(
    "R4 a standby counts as unavailable, and is not used once the address points to the primary",
    async () => {
      const primary = await startPostgres();
      const database = await primary.newDatabase();
      const standby = await primary.standby();
      const proxy = await startProxy(primary);
      const store = await open(through(proxy, database));
      await store.write((writer) => writer.apps.insert("one"));

      proxy.target = standby;
      proxy.cut();
      await vi.waitFor(() => expect(proxy.open).toBe(0));
      for (let i = 0; i < 3; i++) {
        await expect(store.readState()).rejects.toThrow(/the server is read-only/);
        await expect(store.write((writer) => writer.apps.insert("two"))).rejects.toThrow(StoreUnavailable);
      }
      expect(proxy.open).toBe(0);
      await expect(open(through(proxy, database))).rejects.toThrow(
        /cannot use the database .*: the server is read-only/,
      );

      proxy.target = primary;
      await store.write((writer) => writer.apps.insert("two"));
      expect(appIdsOf(await store.readSnapshot())).toEqual(["one", "two"]);
    },
  );

  itOnOwnPostgres("R4 a server that stops accepting writes is disconnected immediately", async () => {
    const url = await server.newDatabase();
    const name = new URL(url).pathname.slice(1);
    const proxy = await startProxy(server);
    await (await open(url)).close();
    await server.query(url, `alter database ${name} set default_transaction_read_only = on`);
    const store = await open(through(proxy, url)); // no migration is due
    await expect(store.write((writer) => writer.apps.insert("one"))).rejects.toThrow(StoreUnavailable);
    const elsewhere = await server.newDatabase();
    await server.query(elsewhere, `alter database ${name} reset default_transaction_read_only`);
    // A connection keeps its initial setting, so this one is new.
    await store.write((writer) => writer.apps.insert("one"));
  });

  it("R4 a certificate that is missing for a moment during reconnects breaks nothing", async () => {
    const url = new URL(await server.newDatabase());
    const certificate = join(await tempDir(), "ca.pem");
    await writeFile(certificate, "x");
    url.searchParams.set("sslrootcert", certificate);
    url.searchParams.set("sslmode", "disable");
    const store = await open(url.href);
    let notified = 0;
    store.watch(() => notified++);
    await vi.waitFor(() => expect(notified).toBe(1));
    const cutAll = () =>
      server.query(through(server, url.href.split("?")[0]!), OURS.replace("pid", "pg_terminate_backend(pid)"));

    await rm(certificate);
    await cutAll();
    await vi.waitFor(() => expect(notified).toBe(2), { timeout: 5_000 }); // it listens again
    await vi.waitFor(() => Promise.all(Array.from({ length: 8 }, () => store.readState())), { timeout: 5_000 });
    await vi.waitFor(() => store.write((writer) => writer.apps.insert("one")), { timeout: 5_000 });

    await expect(open(url.href)).rejects.toThrow(/ca\.pem: no such file or directory/);
  });
}
