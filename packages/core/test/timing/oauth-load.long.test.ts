// Many services at the same time on a shared store, and an administrator in the meantime.
import { generateKeyPairSync, randomBytes, randomUUID, sign } from "node:crypto";
import { expect } from "vitest";
import { openPostgresStore } from "../../src/adapters/postgres/postgres-store.ts";
import { createReplayGuard } from "../../src/use-cases/authentication/replay-guard.ts";
import { ADMIN_KEY, startTestCore, type TestCore } from "../support/core.ts";
import { startInstance } from "../support/instance.ts";
import { formOf } from "../support/oauth.ts";
import { itOnPostgres, note, sharedPostgres } from "../support/postgres.ts";
import { callServices } from "../support/services.ts";

const key = generateKeyPairSync("ec", { namedCurve: "P-256" });
const environment = { COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url") };
const publicUrl = "https://core.test";

async function startInstances(): Promise<{ cores: TestCore[]; database: string }> {
  const database = await (await sharedPostgres()).newDatabase();
  const options = { database, publicUrl };
  const cores = [await startTestCore(options, { environment }), await startTestCore(options, { environment })];
  const [core] = cores as [TestCore];
  await callServices(core, "", { name: "orders" });
  const jwks = { keys: [{ ...key.publicKey.export({ format: "jwk" }), kid: "k" }] };
  const path = "/admin/v1/apps/public/services/orders/keys";
  expect((await core.call(path, { method: "PUT", apiKey: ADMIN_KEY, body: { jwks } })).status).toBe(200);
  await expect.poll(async () => (await callServices(cores[1]!, "/orders/keys")).json["keys"]).toHaveLength(1);
  return { cores, database };
}

/** Synchronous, so that creating two thousand of them does not take most of the time. */
function assertion(): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 60;
  const claims = { iss: "orders", sub: "orders", aud: publicUrl, exp, jti: randomUUID() };
  const input = `${encode({ alg: "ES256", kid: "k" })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(input), { key: key.privateKey, dsaEncoding: "ieee-p1363" });
  return `${input}.${signature.toString("base64url")}`;
}

const ask = async (core: TestCore, path: string, form: Record<string, string>): Promise<number> => {
  const client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
  const answer = await core.call(path, {
    ...{ method: "POST", apiKey: null, headers: { "content-type": "application/x-www-form-urlencoded" } },
    body: formOf({ client_assertion_type, client_assertion: assertion(), ...form }),
  });
  return answer.status;
};
const login = (core: TestCore) => ask(core, "/oauth/token", { grant_type: "client_credentials" });

itOnPostgres(
  "S4 of two thousand concurrent assertions on two instances, none fails or waits for an administrator's transaction",
  async () => {
    const { cores, database } = await startInstances();
    const store = await openPostgresStore({ url: database, poolSize: 2 });
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    // The server closes it after five seconds, when a client waiting for it would have given up.
    const administering = store.write(() => held).catch(() => {});
    const began = performance.now();
    const statuses = await Promise.all(Array.from({ length: 2_000 }, (_, i) => login(cores[i % 2]!)));
    note(`2,000 assertions took ${(performance.now() - began).toFixed(0)} ms`);
    release();
    await administering;
    await store.close();
    expect(new Set(statuses)).toEqual(new Set([200]));
  },
  60_000,
);

itOnPostgres(
  "S4 an administrator gets an immediate response while a service sends thousands of assertions",
  async () => {
    const url = await (await sharedPostgres()).newDatabase();
    const instance = await startInstance({ openStore: () => openPostgresStore({ url, poolSize: 8 }) });
    await instance.manageServices.register("public", "orders");
    const assertions = createReplayGuard(instance.store, () => performance.now());
    const until = Math.floor(Date.now() / 1000) + 60;
    const uses = Array.from({ length: 10_000 }, () => assertions.use({ appId: "public", digest: randomUUID(), until }));
    const grant = { appId: "public", kind: "static", algorithm: "ES256", issuer: "a", validity: 60 } as const;
    const revoked = Array.from({ length: 900 }, async () => {
      const issued = await instance.issueToken({ ...grant, payload: {} });
      return instance.revoke.ownToken("public", "orders", issued.status === "issued" ? issued.jwt : "");
    });
    const began = performance.now();
    expect(await instance.manageServices.disable("public", "orders")).toMatchObject({ ok: true });
    expect(performance.now() - began).toBeLessThan(2_000);
    expect((await Promise.all(uses)).every((first) => first)).toBe(true);
    expect((await Promise.all(revoked)).every(({ ok }) => ok)).toBe(true);
  },
);
