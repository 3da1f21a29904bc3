// Commands that open a store directly act as its cores would, and make no other change.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { CoreOptions } from "../../src/config/config.ts";
import { embedCore } from "../../src/index.ts";
import { administerStore } from "../../src/composition/offline.ts";
import type { KeyView } from "../../src/use-cases/keys/manage-keys.ts";
import { note, startPostgres } from "../support/postgres.ts";
import { openDatabase } from "../support/sqlite.ts";
import { tempDir } from "../support/temp-dir.ts";

const ADMIN_KEY = "admin-key-of-the-tests-01";
const environment = { COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url") };
type Place = Pick<CoreOptions, "dataDir" | "database">;

async function call<T>(core: { fetch(request: Request): Promise<Response> }, method: string, path: string, body = {}) {
  const init: RequestInit = { method, headers: { authorization: `Bearer ${ADMIN_KEY}` } };
  if (method !== "GET") init.body = JSON.stringify(body);
  const response = await core.fetch(new Request(`http://core.test/admin/v1${path}`, init));
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.anything()]);
  return JSON.parse(text) as T;
}

/** Runs a core on the store, with its own windows and algorithms. */
async function ran(place: Place, rotation: CoreOptions["rotation"]): Promise<KeyView[]> {
  const core = await embedCore({ ...place, rotation, adminKeys: [ADMIN_KEY] }, { environment });
  await call(core, "PUT", "/apps/public/algorithms", { algorithms: null }); // Creates every key that is due.
  const { keys } = await call<{ keys: KeyView[] }>(core, "GET", "/apps/public/keys");
  await core.close();
  return keys;
}

async function administer(place: Place) {
  const core = await administerStore(place, ADMIN_KEY, environment);
  onTestFinished(() => core.close());
  return core;
}

const keysOf = async (core: Awaited<ReturnType<typeof administer>>) =>
  (await call<{ keys: KeyView[] }>(core, "GET", "/apps/public/keys")).keys;
const algorithmsOf = (keys: readonly KeyView[]) => new Set(keys.map((key) => key.algorithm));

const server = await startPostgres();

describe.each([
  ["an embedded store", async () => ({ dataDir: await tempDir() })],
  ["PostgreSQL", async () => server && { database: await server.newDatabase() }],
] as const)("administering %s directly", (_, newPlace) => {
  async function place(): Promise<Place | undefined> {
    const found = await newPlace();
    if (found === undefined) note("administering PostgreSQL was not tested");
    return found;
  }

  it("reads without writing, for any windows in its own configuration", async () => {
    const at = await place();
    if (at === undefined) return;
    const before = await ran(at, { algorithms: ["ES256"] });
    const core = await administer(at);
    const status = await call(core, "GET", "/status");
    for (const path of [
      "/apps",
      "/apps/public/keys",
      "/apps/public/keys/public",
      "/apps/public/revocations",
      "/backup",
    ]) {
      await call(core, "GET", path);
    }
    expect(await keysOf(core)).toEqual(before);
    expect(await call(core, "GET", "/status")).toEqual(status);
  });

  it("creates keys with the windows and algorithms of the cores on the store", async () => {
    const at = await place();
    if (at === undefined) return;
    await ran(at, { algorithms: ["ES256"], lead: 3_600_000, jwksMaxAge: 600_000 });
    const core = await administer(at);
    const rotate = { algorithm: "ES256" };
    const { keys } = await call<{ keys: KeyView[] }>(core, "POST", "/apps/public/keys/rotate", rotate);
    const prepared = keys.find((key) => key.kind === "static" && key.state === "prepared")!;
    expect(Date.parse(prepared.signsFrom) - Date.parse(prepared.createdAt)).toBe(3_600_000);
    const signer = keys.find((key) => key.kind === "dynamic" && key.state === "active")!;
    await call(core, "POST", `/apps/public/keys/${signer.kid}/revoke`);
    expect(algorithmsOf(await keysOf(core))).toEqual(new Set(["ES256"]));
  });

  it("R17 works even if its own windows would make the stored keys invalid", async () => {
    const at = await place();
    if (at === undefined) return;
    await ran(at, {
      lead: 60_000,
      period: 300_000,
      hold: 300_000,
      jwksMaxAge: 10_000,
      instanceRefresh: 2_000,
      clockSkew: 5_000,
    });
    const core = await administer(at);
    const { service } = await call<{ service: object }>(core, "POST", "/apps/public/revocations/services", {
      service: "orders",
    });
    expect(service).toEqual({ service: "orders", notBefore: expect.any(Number) });
  });
});

it("R17 repairs a state that prevents a core from starting", async () => {
  const dataDir = await tempDir();
  await ran({ dataDir }, { algorithms: ["ES256"] });
  const database = await openDatabase(join(dataDir, "countersign.db"));
  database.exec(`with recursive many(i) as (select 1 union all select i + 1 from many where i < 64)
    insert into signing_keys select app_id, 's-' || i, kind, algorithm, -i, created_at, signs_from, signs_from, null,
    null, public_jwk, sealed_private_key, master_key_id from signing_keys, many where kind = 'static' and sequence = 1;
    update core_state set epoch = epoch + 1`);
  database.close();
  const start = () => embedCore({ dataDir, rotation: { algorithms: ["ES256"] } }, { environment });
  await expect(start()).rejects.toThrow(/more than 64/);
  const core = await administer({ dataDir });
  for (let i = 1; i <= 10; i++) await call(core, "POST", `/apps/public/keys/s-${i}/revoke`);
  await (await start()).close();
});
