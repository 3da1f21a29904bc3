// A core, and beside it in the same process a route that only signs a token of the same size: what all the rest costs.
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import { startCore } from "countersign-core";
import { Hono } from "hono";

const ADMIN_KEY = "admin-key-of-the-bench-01";
const dataDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
const core = await startCore(
  { port: 0, dataDir, adminKeys: [ADMIN_KEY], rotation: { algorithms: ["ES256"] } },
  { environment: {} },
);

/** @param {string} path @param {object} body @returns {Promise<any>} */
async function administer(path, body) {
  const request = { method: "POST", headers: { "api-key": ADMIN_KEY }, body: JSON.stringify(body) };
  return (await fetch(`${core.url}/admin/v1/apps/public/services${path}`, request)).json();
}
await administer("", { name: "orders" });
const { credential } = await administer("/orders/credentials", {});

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const key = /** @type {const} */ ({ key: privateKey, dsaEncoding: "ieee-p1363" });
const header = { alg: "ES256", typ: "at+jwt", kid: `d-${Date.now()}` };

/** @param {object} part */
const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");

/** @returns {Promise<string>} */
function newToken() {
  const iat = Math.floor(Date.now() / 1000);
  const times = { iat, exp: iat + 600, jti: randomUUID() };
  const claims = { iss: core.url, client_id: "orders", sub: "orders", source: "microservice", ...times };
  const input = `${encode(header)}.${encode(claims)}`;
  return new Promise((resolve, reject) => {
    sign("sha256", Buffer.from(input), key, (error, signature) =>
      error === null ? resolve(`${input}.${signature.toString("base64url")}`) : reject(error),
    );
  });
}

const bare = new Hono();
bare.post("/oauth/token", async (c) =>
  c.json({ access_token: await newToken(), token_type: "Bearer", expires_in: 600 }),
);
const port = await new Promise((resolve) => {
  serve({ fetch: bare.fetch, port: 0, hostname: "127.0.0.1" }, (info) => resolve(info.port));
});

// Asked before and after each measurement, as the servers of other routes are.
let last = process.cpuUsage();
process.on("message", () => {
  const { user, system } = process.cpuUsage(last);
  process.send?.({ cpuSeconds: (user + system) / 1e6 });
  last = process.cpuUsage();
});
process.on("disconnect", () => void rm(dataDir, { recursive: true, force: true }).then(() => process.exit()));
process.send?.({ core: core.url, bare: `http://127.0.0.1:${port}`, secret: credential.credential });
