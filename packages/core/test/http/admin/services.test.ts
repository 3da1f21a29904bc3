// Services in the admin API, over a real socket: responses and rejected requests.
import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import type { CredentialView, ServiceView } from "../../../src/use-cases/services/manage-services.ts";
import { fakeClock, NEW_YEAR, type FakeClock } from "../../support/clock.ts";
import { ADMIN_KEY, startTestCore, type Answer, type TestCore } from "../../support/core.ts";
import { itOnPostgres, sharedPostgres } from "../../support/postgres.ts";
import { callServices, newCredential } from "../../support/services.ts";

const MINUTE = 60_000;
const NEW_YEAR_DATE = new Date(NEW_YEAR).toISOString();

let core: TestCore;
let clock: FakeClock;
beforeAll(async () => {
  clock = fakeClock();
  core = await startTestCore({ maxRingAge: 1e15 }, { clock });
});

const services = (path: string, body?: unknown, app?: string) => callServices(core, path, body, app);
function expectRefused(answer: Answer, status: number, code: string, words: RegExp): void {
  expect([answer.status, answer.json]).toEqual([status, { error: { code, message: expect.stringMatching(words) } }]);
}

describe("services", () => {
  it("are registered, shown, listed, disabled, enabled and deleted", async () => {
    const made = await services("", { name: "orders" });
    const orders = { name: "orders", state: "enabled", createdAt: NEW_YEAR_DATE, disabledAt: null, credentials: 0 };
    expect([made.status, made.json]).toEqual([200, { service: orders }]);
    expect((await services("/orders")).json).toEqual({ service: orders, credentials: [] });
    expect((await services("")).json).toEqual({ services: [orders] });
    const disabled = { ...orders, state: "disabled", disabledAt: NEW_YEAR_DATE };
    expect((await services("/orders/disable", {})).json).toEqual({ service: disabled });
    expect((await services("")).json).toEqual({ services: [disabled] });
    expect((await services("/orders/enable", {})).json).toEqual({ service: orders });
    expect((await services("/orders/delete", {})).json).toEqual({ service: { name: "orders" } });
    expect((await services("")).json).toEqual({ services: [] });
  });

  async function expectNobodyBehindNul(at: TestCore): Promise<void> {
    const { id } = await newCredential(at, "ending");
    const before = (await callServices(at, "/ending")).text;
    const jwks = { keys: [] };
    for (const [method, path, body] of [
      ["GET", "/services/ending%00", undefined],
      ["POST", "/services/ending%00/disable", {}],
      ["POST", "/services/ending%00/enable", {}],
      ["POST", "/services/ending%00/delete", {}],
      ["POST", "/services/ending%00/credentials", {}],
      ["POST", `/services/ending%00x/credentials/${id}/revoke`, {}],
      ["POST", `/services/ending/credentials/${id}%00/revoke`, {}],
      ["GET", "/services/ending%00/keys", undefined],
      ["PUT", "/services/ending%00/keys", { jwks }],
      ["POST", "/trusts", { service: "ending\0", issuer: "https://p.test", subject: "s", audience: "a" }],
      ["POST", "/trusts/t%00/delete", {}],
    ] as const) {
      const answer = await at.call(`/admin/v1/apps/public${path}`, { method, apiKey: ADMIN_KEY, body });
      expect([path, answer.status]).toEqual([path, 404]);
    }
    expect((await callServices(at, "/ending")).text).toBe(before);
    await callServices(at, "/ending/delete", {});
  }

  it("H8 have names that are not cut at the first NUL", () => expectNobodyBehindNul(core));

  itOnPostgres("H8 have names that are not cut at the first NUL, on PostgreSQL", async () => {
    const database = await (await sharedPostgres()).newDatabase();
    const environment = { COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url") };
    await expectNobodyBehindNul(await startTestCore({ database }, { environment }));
  });

  it("S2 belong to one app", async () => {
    await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "shop" } });
    await services("", { name: "here" });
    expect((await services("", undefined, "shop")).json).toEqual({ services: [] });
    for (const path of ["/here", "/here/disable", "/here/enable", "/here/delete", "/here/credentials"]) {
      const answer = await services(path, path === "/here" ? undefined : {}, "shop");
      expectRefused(answer, 404, "not_found", /^service not found$/);
    }
    expectRefused(await services("", { name: "here" }, "ghost"), 404, "not_found", /app/);
  });

  it("are rejected without echoing input (H9)", async () => {
    await services("", { name: "taken" });
    expectRefused(await services("", { name: "<img src=x>" }), 400, "invalid", /^a service name has 1 to 63/);
    expectRefused(await services("", { name: "taken" }), 409, "conflict", /already/);
    expectRefused(await services("", {}), 400, "invalid", /^name: /);
    expectRefused(await services("", { name: "x", "<b>": 1 }), 400, "invalid", /^body: an unknown field$/);
    expectRefused(await services("", "nonsense"), 400, "invalid", /Json/);
    expectRefused(await services("/%3Cimg%3E/delete", {}), 404, "not_found", /^service not found$/);
    expectRefused(await services("/taken/credentials/%3Cb%3E/revoke", {}), 404, "not_found", /credential not found$/);
    expectRefused(await services("/taken/nonsense", {}), 404, "not_found", /resource/);
  });
});

describe("credentials", () => {
  const shown = async (name: string) =>
    (await services(`/${name}`)).json as unknown as { service: ServiceView; credentials: CredentialView[] };

  it("appear in one uncached response, and later lists omit the secret (S1)", async () => {
    await services("", { name: "billing" });
    const added = await services("/billing/credentials", {});
    expect(added.headers.get("cache-control")).toBe("no-store");
    const { credential, ...view } = added.json["credential"] as Record<string, unknown>;
    expect(credential).toMatch(/^cs_billing_[A-Za-z0-9_-]{43}$/);
    const createdAt = new Date(clock.now()).toISOString();
    expect(view).toEqual({ id: expect.any(String), state: "active", createdAt, expiresAt: null, lastUsedAt: null });
    expect((await shown("billing")).credentials).toEqual([view]);
  });

  it("show their last use, and expire at their expiry date", async () => {
    const { credential } = await newCredential(core, "timed", { expiresAt: clock.now() + MINUTE });
    const asked = () => core.call("/apiversion", { apiKey: credential });
    expect((await asked()).status).toBe(200);
    const usedAt = new Date(clock.now()).toISOString();
    expect((await shown("timed")).credentials).toMatchObject([{ state: "active", lastUsedAt: usedAt }]);
    clock.advance(MINUTE);
    expect((await asked()).status).toBe(401);
    expect(await shown("timed")).toMatchObject({
      service: { credentials: 0 },
      credentials: [{ state: "expired", lastUsedAt: usedAt }],
    });
  });

  it("are revoked one by one; the others remain valid", async () => {
    const [old, young] = [await newCredential(core, "rotating"), await newCredential(core, "rotating")];
    const revoked = await services(`/rotating/credentials/${old.id}/revoke`, {});
    expect([revoked.status, revoked.json]).toEqual([200, { credential: { id: old.id } }]);
    const statuses = [old, young].map(({ credential }) => core.call("/apiversion", { apiKey: credential }));
    expect((await Promise.all(statuses)).map((answer) => answer.status)).toEqual([401, 200]);
    expectRefused(
      await services(`/rotating/credentials/${old.id}/revoke`, {}),
      404,
      "not_found",
      /credential not found/,
    );
  });

  it("are rejected with an invalid or past expiry date, and beyond ten (409)", async () => {
    await services("", { name: "many" });
    const add = (body: object) => services("/many/credentials", body);
    expectRefused(await add({ expiresAt: "soon" }), 400, "invalid", /^expiresAt: /);
    expectRefused(await add({ expiresAt: NEW_YEAR_DATE }), 400, "invalid", /expected a date in the future/);
    for (let i = 0; i < 10; i++) expect((await add({})).status).toBe(200);
    expectRefused(await add({}), 409, "conflict", /at most 10/);
  });
});
