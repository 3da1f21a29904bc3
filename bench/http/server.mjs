// A core, and in the same process bare Hono routes that do the least possible for the same response.
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import { startCore } from "countersign-core";
import { Hono } from "hono";

const ADMIN_KEY = "admin-key-of-the-bench-01";
const API_KEY = "api-key-of-the-bench-0001";
const dataDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
const core = await startCore(
  { port: 0, dataDir, apiKeys: [API_KEY], adminKeys: [ADMIN_KEY], rotation: { algorithms: ["RS256", "ES256"] } },
  { environment: {} },
);

/** @param {string} path @param {object} body @returns {Promise<any>} */
async function administer(path, body) {
  const request = { method: "POST", headers: { "api-key": ADMIN_KEY }, body: JSON.stringify(body) };
  return (await fetch(`${core.url}/admin/v1/apps/public/services${path}`, request)).json();
}
await administer("", { name: "orders" });
const { credential } = await administer("/orders/credentials", {});

/** @typedef {{ alg: string, key: import("node:crypto").SignKeyObjectInput }} Signer @type {Signer} */
const ES256 = {
  alg: "ES256",
  key: { key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, dsaEncoding: "ieee-p1363" },
};
/** @type {Signer} */
const RS256 = { alg: "RS256", key: { key: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey } };

/** @param {object} part */
const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");

/** @param {Signer} signer @param {string} typ @param {object} claims @param {number} validity @returns {Promise<string>} */
function newToken({ alg, key }, typ, claims, validity) {
  const iat = Math.floor(Date.now() / 1000);
  const header = { alg, typ, kid: `d-${iat}000` };
  const input = `${encode(header)}.${encode({ ...claims, iat, exp: iat + validity, jti: randomUUID() })}`;
  return new Promise((resolve, reject) => {
    sign("sha256", Buffer.from(input), key, (error, signature) =>
      error === null ? resolve(`${input}.${signature.toString("base64url")}`) : reject(error),
    );
  });
}

const bare = new Hono();
for (const path of ["/hello", "/.well-known/jwks.json", "/.well-known/jwks-all.json", "/.well-known/revocations"]) {
  const response = await fetch(core.url + path);
  const body = await response.text();
  const wanted = ["content-type", "cache-control", "etag", "access-control-allow-origin", "x-content-type-options"];
  const headers = Object.fromEntries([...response.headers].filter(([name]) => wanted.includes(name)));
  bare.get(path, (c) => c.body(body, 200, headers));
}
bare.post("/recipe/jwt", async (c) => {
  const { payload, algorithm, jwksDomain, validity } = await c.req.json();
  const signer = algorithm === "ES256" ? ES256 : RS256;
  return c.json({ status: "OK", jwt: await newToken(signer, "JWT", { ...payload, iss: jwksDomain }, validity) });
});
const ACCESS = { iss: core.url, client_id: "orders", sub: "orders", source: "microservice" };
bare.post("/oauth/token", async (c) =>
  c.json({ access_token: await newToken(ES256, "at+jwt", ACCESS, 600), token_type: "Bearer", expires_in: 600 }),
);
const port = await new Promise((resolve) => {
  serve({ fetch: bare.fetch, port: 0, hostname: "127.0.0.1" }, (info) => resolve(info.port));
});

// Reports the CPU time since the last message.
let last = process.cpuUsage();
process.on("message", () => {
  const { user, system } = process.cpuUsage(last);
  process.send?.({ cpuSeconds: (user + system) / 1e6 });
  last = process.cpuUsage();
});
process.on("disconnect", () => void rm(dataDir, { recursive: true, force: true }).then(() => process.exit()));
process.send?.({ core: core.url, bare: `http://127.0.0.1:${port}`, apiKey: API_KEY, secret: credential.credential });
