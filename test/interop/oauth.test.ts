// Published clients and verifiers of OAuth, unmodified, against our core.
import { generateKeyPairSync, type webcrypto } from "node:crypto";
import { createServer as createHttpServer, request as httpRequest, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { JwtVerifier } from "aws-jwt-verify";
import { SimpleFetcher } from "aws-jwt-verify/https";
import { SimpleJwksCache } from "aws-jwt-verify/jwk";
import express, { type ErrorRequestHandler } from "express";
import { auth, requiredScopes } from "express-oauth2-jwt-bearer";
import { exportJWK } from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { createVerifier } from "countersign";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ADMIN_KEY } from "../../packages/core/test/support/core.ts";
import { startOAuthCore, type OAuthCore } from "../../packages/core/test/support/oauth.ts";
import { selfSigned } from "../support/certificate.ts";

let core: OAuthCore;
let secret: string;
const keys: Record<string, webcrypto.CryptoKey> = {};
beforeAll(async () => {
  core = await startOAuthCore();
  secret = core.credentials["orders"]!;
  const jwks: object[] = [];
  for (const [kid, pair, algorithm] of [
    ["es", generateKeyPairSync("ec", { namedCurve: "P-256" }), { name: "ECDSA", namedCurve: "P-256" }],
    ["ed", generateKeyPairSync("ed25519"), { name: "Ed25519" }],
    ["rs", generateKeyPairSync("rsa", { modulusLength: 2048 }), { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }],
  ] as const) {
    const pkcs8 = pair.privateKey.export({ type: "pkcs8", format: "der" });
    keys[kid] = await crypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]);
    jwks.push({ ...(await exportJWK(pair.publicKey)), kid });
  }
  const path = "/admin/v1/apps/public/services/orders/keys";
  const set = await core.call(path, { method: "PUT", apiKey: ADMIN_KEY, body: { jwks: { keys: jwks } } });
  expect([set.status, set.text]).toEqual([200, expect.anything()]);
});

const insecure = { [oauth.allowInsecureRequests]: true };
const GRANT = { audience: "inventory", scope: "stock:read" };

describe("oauth4webapi", () => {
  const client: oauth.Client = { client_id: "orders" };
  const discover = async (algorithm: "oauth2" | "oidc") => {
    const issuer = new URL(core.url);
    return oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm, ...insecure }));
  };
  const ways: [string, () => oauth.ClientAuth][] = [
    ["client_secret_basic", () => oauth.ClientSecretBasic(secret)],
    ["client_secret_post", () => oauth.ClientSecretPost(secret)],
    ["private_key_jwt, ES256", () => oauth.PrivateKeyJwt({ key: keys["es"]!, kid: "es" })],
    ["private_key_jwt, Ed25519", () => oauth.PrivateKeyJwt({ key: keys["ed"]!, kid: "ed" })],
    ["private_key_jwt, RS256", () => oauth.PrivateKeyJwt({ key: keys["rs"]!, kid: "rs" })],
  ];

  test.each(ways)("gets a token, introspects and revokes it: %s", async (_, way) => {
    const as = await discover("oauth2");
    const answer = await oauth.clientCredentialsGrantRequest(as, client, way(), GRANT, insecure);
    const token = await oauth.processClientCredentialsResponse(as, client, answer);
    expect(token).toMatchObject({ token_type: "bearer", expires_in: 600, scope: "stock:read" });
    const introspect = async () =>
      oauth.processIntrospectionResponse(
        as,
        client,
        await oauth.introspectionRequest(as, client, way(), token.access_token, insecure),
      );
    expect(await introspect()).toMatchObject({ active: true, client_id: "orders", aud: "inventory" });
    const revoked = await oauth.revocationRequest(as, client, way(), token.access_token, insecure);
    await oauth.processRevocationResponse(revoked);
    expect(await introspect()).toEqual({ active: false });
  });

  test("reads our errors: a wrong secret, a scope and an audience that are not the client's", async () => {
    const as = await discover("oidc");
    const refusal = async (way: oauth.ClientAuth, form: Record<string, string>) => {
      const answer = await oauth.clientCredentialsGrantRequest(as, client, way, form, insecure);
      return oauth.processClientCredentialsResponse(as, client, answer).catch((error: unknown) => error);
    };
    expect(await refusal(oauth.ClientSecretPost("cs_orders_x"), GRANT)).toMatchObject({
      ...{ error: "invalid_client", status: 401 },
    });
    const challenged = await refusal(oauth.ClientSecretBasic("cs_orders_x"), GRANT);
    expect(challenged).toBeInstanceOf(oauth.WWWAuthenticateChallengeError);
    for (const [form, error] of [
      [{ ...GRANT, scope: "stock:delete" }, "invalid_scope"],
      [{ ...GRANT, audience: "idle" }, "invalid_target"],
    ] as const) {
      expect(await refusal(oauth.ClientSecretPost(secret), form)).toMatchObject({ error, status: 400 });
    }
  });

  test("S4 its assertion for the token endpoint's URL is rejected", async () => {
    const as = await discover("oauth2");
    const way = oauth.PrivateKeyJwt(
      { key: keys["es"]!, kid: "es" },
      { [oauth.modifyAssertion]: (_header, payload) => void (payload["aud"] = as.token_endpoint!) },
    );
    const answer = await oauth.clientCredentialsGrantRequest(as, client, way, GRANT, insecure);
    await expect(oauth.processClientCredentialsResponse(as, client, answer)).rejects.toMatchObject({
      error: "invalid_client",
    });
  });

  test("accepts our access token as one of RFC 9068", async () => {
    const as = await discover("oauth2");
    const request = new Request("http://inventory.test/", {
      headers: { authorization: `Bearer ${await core.accessToken()}` },
    });
    const claims = await oauth.validateJwtAccessToken(as, request, "inventory", insecure);
    expect(claims).toMatchObject({ sub: "orders", client_id: "orders", source: "microservice" });
  });
});

describe("openid-client", () => {
  const ways: [string, () => openid.ClientAuth][] = [
    ["client_secret_basic", () => openid.ClientSecretBasic(secret)],
    ["client_secret_post", () => openid.ClientSecretPost(secret)],
    ["private_key_jwt", () => openid.PrivateKeyJwt({ key: keys["es"]!, kid: "es" })],
  ];
  for (const algorithm of ["oidc", "oauth2"] as const) {
    test.each(ways)(
      `discovers the core with ${algorithm}, gets a token, introspects and revokes it: %s`,
      async (_, way) => {
        const execute = [openid.allowInsecureRequests];
        const config = await openid.discovery(new URL(core.url), "orders", {}, way(), { algorithm, execute });
        const { access_token: token, expires_in } = await openid.clientCredentialsGrant(config, GRANT);
        expect(expires_in).toBe(600);
        expect(await openid.tokenIntrospection(config, token)).toMatchObject({ active: true, sub: "orders" });
        await openid.tokenRevocation(config, token);
        expect(await openid.tokenIntrospection(config, token)).toEqual({ active: false });
      },
    );
  }

  test("discovers an app whose issuer has a path", async () => {
    await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "a1" } });
    for (const algorithm of ["oidc", "oauth2"] as const) {
      const execute = [openid.allowInsecureRequests];
      const at = new URL(`${core.url}/appid-a1`);
      const config = await openid.discovery(at, "orders", {}, openid.ClientSecretPost("x"), { algorithm, execute });
      expect(config.serverMetadata().token_endpoint).toBe(`${core.url}/appid-a1/oauth/token`);
    }
  });
});

test("express-oauth2-jwt-bearer accepts our token with the right audience and scope, and no other", async () => {
  const app = express();
  app.use(auth({ issuerBaseURL: core.url, audience: "inventory", tokenSigningAlg: "ES256", strict: true }));
  app.get("/stock", requiredScopes("stock:reserve"), (request, response) => {
    response.json({ caller: request.auth?.payload.sub });
  });
  app.use(((error: { status?: number }, _request, response, _next) => {
    response.status(error.status ?? 500).end();
  }) as ErrorRequestHandler);
  const url = await listen(createHttpServer(app));
  const call = async (token: string) => {
    const response = await fetch(`${url}/stock`, { headers: { authorization: `Bearer ${token}` } });
    return [response.status, await response.text()];
  };
  expect(await call(await core.accessToken())).toEqual([200, '{"caller":"orders"}']);
  expect(await call(await core.accessToken({ scope: "stock:read" }))).toEqual([403, ""]);
  expect(await call(await core.accessToken({ audience: "billing" }))).toEqual([401, ""]);
  expect(await call(await core.mint({ payload: { sub: "orders", aud: "inventory" } }))).toEqual([401, ""]);
});

test("aws-jwt-verify verifies our token, with keys that it fetches over https", async () => {
  const certificate = selfSigned();
  let target = "";
  const front = createHttpsServer(certificate, (incoming, outgoing) => {
    incoming.pipe(
      httpRequest(target + incoming.url!, { method: incoming.method, headers: incoming.headers }, (answer) => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
      }),
    );
  });
  const issuer = (await listen(front)).replace("http://127.0.0.1", "https://localhost");
  const own = await startOAuthCore({ publicUrl: issuer });
  target = own.url;
  const fetcher = new SimpleFetcher({ defaultRequestOptions: { ca: certificate.cert } });
  const metadata = JSON.parse(
    Buffer.from(await fetcher.fetch(`${issuer}/.well-known/openid-configuration`)).toString(),
  ) as { issuer: string; jwks_uri: string };
  expect(metadata.issuer).toBe(issuer);
  const verifier = JwtVerifier.create(
    { issuer, audience: "inventory", jwksUri: metadata.jwks_uri, scope: "stock:read" },
    { jwksCache: new SimpleJwksCache({ fetcher }) },
  );
  expect(await verifier.verify(await own.accessToken())).toMatchObject({ sub: "orders", client_id: "orders" });
  await expect(verifier.verify(await own.accessToken({ audience: "billing" }))).rejects.toThrow(/audience/i);
  await expect(verifier.verify(await own.accessToken({ scope: "stock:reserve" }))).rejects.toThrow(/scope/i);
  await expect(verifier.verify(await core.accessToken())).rejects.toThrow();
  await own.close();
});

test("our verifier accepts access tokens and recipe tokens, with only the issuer as configuration", async () => {
  const verifier = createVerifier({ issuer: core.url, audience: "inventory" });
  onTestFinished(() => verifier.close());
  const payload = { sub: "orders", source: "microservice", aud: "inventory" };
  const recipe = await core.mint({ payload, jwksDomain: core.url });
  for (const token of [await core.accessToken(), recipe]) {
    expect(await verifier.verify(token)).toMatchObject({ allowed: true, caller: { service: "orders" } });
  }
  expect(await verifier.verify(await core.accessToken({ audience: "billing" }))).toMatchObject({
    ...{ allowed: false, reason: "audience_mismatch" },
  });
});

async function listen(
  server: Pick<Server, "listen" | "once" | "address" | "close" | "closeAllConnections">,
): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
