// A published client of the contract, unmodified, against our core.
import express from "express";
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import supertokens from "supertokens-node";
import { errorHandler, middleware } from "supertokens-node/framework/express";
import JWT from "supertokens-node/recipe/jwt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCore, type RunningCore } from "countersign-core";
import { createVerifier } from "countersign";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const API_KEY = "interop-api-key-of-28-chars-";

describe("supertokens-node", () => {
  let dataDir: string;
  let core: RunningCore;
  let server: Server;
  let apiDomain: string;
  let jwksUri: string;

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "countersign-interop-"));
    core = await startCore({ port: 0, dataDir, apiKeys: [API_KEY] });
    const app = express();
    server = createServer(app).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    apiDomain = `http://localhost:${(server.address() as AddressInfo).port}`;
    jwksUri = `${apiDomain}/auth/jwt/jwks.json`;
    supertokens.init({
      framework: "express",
      supertokens: { connectionURI: core.url, apiKey: API_KEY },
      appInfo: { appName: "orders", apiDomain, websiteDomain: "http://localhost:3000" },
      recipeList: [JWT.init()],
      telemetry: false,
    });
    app.use(middleware());
    app.use(errorHandler());
  });

  afterAll(async () => {
    server.close();
    await core.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  async function create(...parameters: Parameters<typeof JWT.createJWT>): Promise<string> {
    const answer = await JWT.createJWT(...parameters);
    if (answer.status !== "OK") throw new Error(answer.status);
    return answer.jwt;
  }

  test("createJWT with a payload alone: signed statically, for a hundred years, verified by jose from its own middleware", async () => {
    const before = Math.floor(Date.now() / 1000);
    const token = await create({ source: "microservice", service: "orders" });
    const { payload, protectedHeader } = await jwtVerify(token, createRemoteJWKSet(new URL(jwksUri)), {
      issuer: apiDomain,
    });
    expect(protectedHeader).toEqual({ alg: "RS256", typ: "JWT", kid: expect.stringMatching(/^s-/) as string });
    expect(payload).toMatchObject({ source: "microservice", service: "orders" });
    expect(payload.exp! - payload.iat!).toBe(3_153_600_000);
    expect(payload.iat!).toBeGreaterThanOrEqual(before - 1);
  });

  test("createJWT with a validity and a dynamic key", async () => {
    const token = await create({ source: "microservice" }, 120, false);
    expect(decodeProtectedHeader(token).kid).toMatch(/^d-\d+$/);
    const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwksUri)));
    expect(payload.exp! - payload.iat!).toBe(120);
  });

  test("a dynamic token never outlives its key: a requested year ends with the key", async () => {
    const token = await create({}, 365 * 86_400, false);
    const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwksUri)));
    // period 7 d and hold 30 d from when the key began to sign
    expect(payload.exp! - payload.iat!).toBeGreaterThan(36.9 * 86_400);
    expect(payload.exp! - payload.iat!).toBeLessThanOrEqual(37 * 86_400);
  });

  test("createJWT without a payload", async () => {
    const { payload } = await jwtVerify(await create(undefined), createRemoteJWKSet(new URL(jwksUri)));
    expect(Object.keys(payload).sort()).toEqual(["exp", "iat", "iss", "jti"]);
  });

  test.each([0, -1])("validity %d is rejected with the contract's text", async (validity) => {
    await expect(JWT.createJWT({}, validity)).rejects.toThrow(/400.*validity must be greater than or equal to 0/);
  });

  test("getJWKS returns our RSA keys and the core's max-age", async () => {
    const answer = await JWT.getJWKS();
    expect(answer.validityInSeconds).toBe(60);
    expect(answer.keys[0]!.kid).toMatch(/^s-/);
    for (const key of answer.keys) expect(key).toMatchObject({ kty: "RSA", alg: "RS256", use: "sig", e: "AQAB" });
  });

  test("its middleware serves the key set with the contract's headers", async () => {
    const response = await fetch(jwksUri);
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("cache-control")).toBe("max-age=60, must-revalidate");
    expect(Object.keys((await response.json()) as object)).toEqual(["keys"]);
  });

  test("our verifier accepts its tokens with the keys of its front interface, which has no full set", async () => {
    expect((await fetch(jwksUri.replace("jwks.json", "jwks-all.json"))).status).toBe(404);
    const verifier = createVerifier({ jwksUri, issuer: apiDomain });
    const token = await create({ source: "microservice", service: "orders" });
    expect(await verifier.verify(token)).toMatchObject({ allowed: true, caller: { service: "orders" } });
    expect(await verifier.verify(await create({ sub: "alice" }))).toMatchObject({ allowed: false, status: 403 });
    verifier.close();
  });

  test("a wrong API key is rejected before anything else", async () => {
    const response = await fetch(`${core.url}/recipe/jwt`, {
      method: "POST",
      headers: { "api-key": "wrong", rid: "jwt" },
    });
    expect([response.status, await response.text()]).toEqual([401, "Invalid API key"]);
  });
});
