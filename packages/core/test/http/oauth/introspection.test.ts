// Introspection (RFC 7662) and revocation (RFC 7009).
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openSqliteStore } from "../../../src/adapters/sqlite/sqlite-store.ts";
import { fakeClock } from "../../support/clock.ts";
import { ADMIN_KEY, API_KEY, partsOf } from "../../support/core.ts";
import { basic, startOAuthCore, type FormFields, type OAuthCore } from "../../support/oauth.ts";
import { newCredential } from "../../support/services.ts";

const clock = fakeClock();
let core: OAuthCore;
beforeAll(async () => {
  core = await startOAuthCore({ maxRingAge: 1e15 }, { clock });
});
beforeEach(() => clock.advance(60_000)); // This address has no recent guesses.

const as = (service: string) => basic(service, core.credentials[service]!);
const introspect = (token: string | undefined, headers = as("inventory")) =>
  core.postForm("/oauth/introspect", { token }, headers);
const isActive = async (token: string) => (await introspect(token)).json["active"];
const revoke = (token: string | undefined, form: FormFields = {}, headers = as("orders")) =>
  core.postForm("/oauth/revoke", { token, ...form }, headers);

describe("introspection", () => {
  it("describes a valid token to a service or an API key", async () => {
    const token = await core.accessToken({ scope: "stock:read" });
    const { claims } = partsOf(token);
    for (const headers of [
      as("inventory"),
      as("orders"),
      { "api-key": API_KEY },
      { authorization: `Bearer ${API_KEY}` },
      { authorization: `Bearer ${core.credentials["idle"]}` },
    ]) {
      const answer = await introspect(token, headers);
      expect([answer.status, answer.json]).toEqual([200, { active: true, token_type: "Bearer", ...claims }]);
      expect(answer.headers.get("cache-control")).toBe("no-store");
    }
  });

  it("describes recipe tokens, without their private claims", async () => {
    const token = await core.mint({ payload: { sub: "orders", secret: "canary" } });
    const answer = await introspect(token);
    expect(answer.json).toMatchObject({ active: true, sub: "orders" });
    expect(answer.text).not.toContain("canary");
  });

  it("returns only active: false for a token that is expired, of another app or malformed", async () => {
    await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a1" } });
    const of = await core.mint({}, { path: "/appid-a1/recipe/jwt" });
    const good = await core.accessToken();
    const [header, payload, signature] = good.split(".") as [string, string, string];
    const expired = await core.accessToken();
    const foreign = await core.mint({ payload: { iss: "https://evil.test", aud: "x" } });
    clock.advance(1_000);
    expect(await isActive(foreign)).toBe(true); // This app has signed it, so its iss does not matter.
    for (const token of [
      of,
      "x",
      "a.b.c",
      `${header}.${payload}.`,
      `${good}x`,
      `${header}.${payload}.${"A".repeat(signature.length)}`,
      `${Buffer.from('{"alg":"none"}').toString("base64url")}.${payload}.`,
    ]) {
      const answer = await introspect(token);
      expect([answer.status, answer.text]).toEqual([200, '{"active":false}']);
    }
    expect(await isActive(expired)).toBe(true);
    clock.advance(599_000);
    expect(await isActive(expired)).toBe(false);
  });

  it("reports a revoked token, service or key immediately", async () => {
    const token = await core.accessToken();
    const [other, minted] = [await core.accessToken(), await core.mint({ useStaticSigningKey: false, payload: {} })];
    const admin = (path: string, body: object) =>
      core.call(`/admin/v1/apps/public/${path}`, { method: "POST", apiKey: ADMIN_KEY, body });
    await admin("revocations/tokens", { token });
    expect([await isActive(token), await isActive(other)]).toEqual([false, true]);
    await admin(`keys/${partsOf(minted).header["kid"] as string}/revoke`, {});
    expect([await isActive(minted), await isActive(other)]).toEqual([false, true]);
    await admin("revocations/services", { service: "orders" });
    expect(await isActive(other)).toBe(false);
  });

  it("responds with 503 while its state is too old", async () => {
    const time = fakeClock();
    const aging = await startOAuthCore({}, { clock: time });
    const token = await aging.accessToken();
    const introspectThere = () =>
      aging.postForm("/oauth/introspect", { token }, basic("orders", aging.credentials["orders"]!));
    expect((await introspectThere()).json["active"]).toBe(true);
    const database = join(aging.dataDir, "countersign.db");
    await rename(database, `${database}.away`);
    time.advance(3_600_001);
    const answer = await introspectThere();
    expect([answer.status, answer.json["error"]]).toEqual([503, "temporarily_unavailable"]);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    await rename(`${database}.away`, database);
    await expect.poll(async () => (await introspectThere()).status, { timeout: 5_000 }).toBe(200);
  });

  it("S5 requires authentication", async () => {
    const token = await core.accessToken();
    for (const headers of [
      {},
      { "api-key": ADMIN_KEY },
      { "api-key": "x" },
      { authorization: `Bearer ${token}` },
      basic("orders", "x"),
      { authorization: `Bearer ${ADMIN_KEY}` },
    ]) {
      const answer = await introspect(token, headers as Record<string, string>);
      expect([answer.status, answer.json["error"]]).toEqual([401, "invalid_client"]);
      expect(answer.text).not.toContain("active");
    }
    const [ofBilling, wrong] = [core.credentials["billing"]!, { client_id: "orders", client_secret: "wrong" }];
    for (const [form, headers] of [
      [wrong, { authorization: `Bearer ${ofBilling}` }],
      [wrong, { "api-key": API_KEY }],
      [{}, { "api-key": API_KEY, ...basic("orders", "wrong") }],
      [{}, { "api-key": API_KEY, ...as("orders") }],
      [{ client_assertion: "x" }, { authorization: `Bearer ${API_KEY}` }],
    ] as [FormFields, Record<string, string>][]) {
      const answer = await core.postForm("/oauth/introspect", { token, ...form }, headers);
      expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_request"]);
    }
    const none = await introspect(undefined);
    expect([none.status, none.json["error"]]).toEqual([400, "invalid_request"]);
  });
});

describe("revocation", () => {
  it("of a service's own token succeeds, also if repeated", async () => {
    const [token, other] = [await core.accessToken(), await core.accessToken()];
    for (const hint of [undefined, "access_token", "refresh_token"]) {
      const answer = await revoke(token, { token_type_hint: hint });
      expect([answer.status, answer.text]).toEqual([200, ""]);
      expect(answer.headers.get("cache-control")).toBe("no-store");
    }
    expect([await isActive(token), await isActive(other)]).toEqual([false, true]);
    const feed = await core.call("/.well-known/revocations", { apiKey: null });
    expect(partsOf(feed.text).claims["tokens"]).toContainEqual([partsOf(token).claims["jti"], expect.any(Number)]);
  });

  it("S2 of another service's token is rejected, and the token remains valid", async () => {
    const token = await core.accessToken();
    const answer = await revoke(token, {}, as("billing"));
    expect([answer.status, answer.json["error"]]).toEqual([400, "unauthorized_client"]);
    const ofUser = await core.mint({ payload: { sub: "orders", source: "user" } });
    expect((await revoke(ofUser)).json["error"]).toBe("unauthorized_client");
    expect([await isActive(token), await isActive(ofUser)]).toEqual([true, true]);
  });

  it("R17 over a service's limit is rejected with the time at which it can revoke again", async () => {
    const { credential } = await newCredential(core, "busy");
    const second = Math.floor(clock.now() / 1000);
    const store = await openSqliteStore({ dataDir: core.dataDir, now: clock.now });
    await store.write(async (writer) => {
      const listed = { appId: "public", expiresAt: second + 60, service: "busy" };
      for (let i = 0; i < 1_000; i++) await writer.revocations.upsertToken({ ...listed, jti: `busy-${i}` });
    });
    await store.close();
    const token = await core.mint({ payload: { sub: "busy", source: "microservice" } });
    const answer = await revoke(token, {}, basic("busy", credential));
    expect([answer.status, answer.json["error"]]).toEqual([503, "temporarily_unavailable"]);
    const seconds = Number(answer.headers.get("retry-after"));
    expect(seconds).toBe(60 + 300 + 1);
    clock.advance(seconds * 1_000);
    expect((await revoke(token, {}, basic("busy", credential))).status).toBe(200);
  });

  it("of a token of another app succeeds without a change", async () => {
    await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a2" } });
    const { credential } = await newCredential(core, "orders", { app: "a2" });
    const token = await core.accessToken();
    const before = await core.epoch();
    expect((await core.postForm("/appid-a2/oauth/revoke", { token }, basic("orders", credential))).status).toBe(200);
    for (const unknown of ["x", "a.b.c", `${token}x`]) expect((await revoke(unknown)).status).toBe(200);
    expect([await core.epoch(), await isActive(token)]).toEqual([before, true]);
  });

  it("S5 is for services only", async () => {
    const token = await core.accessToken();
    for (const headers of [{}, { "api-key": API_KEY }, { authorization: `Bearer ${API_KEY}` }, basic("orders", "x")]) {
      const answer = await revoke(token, {}, headers as Record<string, string>);
      expect([answer.status, answer.json["error"]]).toEqual([401, "invalid_client"]);
    }
    expect(await isActive(token)).toBe(true);
    expect((await revoke(undefined)).json["error"]).toBe("invalid_request");
  });
});
