// An issuer for the benches: keys of the three algorithms, their key set over HTTP, tokens as a core issues them.
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

/**
 * @typedef {"RS256" | "ES256" | "EdDSA"} TokenAlgorithm `EdDSA`: every peer knows Ed25519 by its older name
 * @typedef {{
 *   algorithm: TokenAlgorithm,
 *   kid: string,
 *   publicKey: import("node:crypto").KeyObject,
 *   privateKey: import("node:crypto").KeyObject,
 * }} IssuerKey
 */

/** @type {Record<TokenAlgorithm, IssuerKey>} */
const KEYS = {
  RS256: { algorithm: "RS256", kid: `s-${randomUUID()}`, ...generateKeyPairSync("rsa", { modulusLength: 2048 }) },
  ES256: { algorithm: "ES256", kid: `s-${randomUUID()}`, ...generateKeyPairSync("ec", { namedCurve: "P-256" }) },
  EdDSA: { algorithm: "EdDSA", kid: `s-${randomUUID()}`, ...generateKeyPairSync("ed25519") },
};

/** @param {TokenAlgorithm} algorithm */
export function publicKeyOf(algorithm) {
  return KEYS[algorithm].publicKey;
}

/** @returns {Promise<{ jwksUri: string, close: () => void }>} */
export async function serveKeySet() {
  const keys = Object.values(KEYS).map(({ algorithm, kid, publicKey }) => ({
    ...publicKey.export({ format: "jwk" }),
    alg: algorithm,
    kid,
    use: "sig",
  }));
  const body = JSON.stringify({ keys });
  const server = createServer((_req, res) => {
    res.setHeader("content-type", "application/json").setHeader("cache-control", "max-age=600, public").end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    jwksUri: `http://127.0.0.1:${port}/keys.json`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Returns a unique service token, valid for an hour. @param {TokenAlgorithm} algorithm @returns {string} */
export function issue(algorithm) {
  const { kid, privateKey } = KEYS[algorithm];
  const iat = Math.floor(Date.now() / 1000);
  const header = { alg: algorithm, typ: "JWT", kid };
  const claims = {
    iss: "https://orders.example.internal",
    sub: "orders",
    source: "microservice",
    service: "orders",
    version: "2026.11.3",
    region: "eu-central-1",
    instance: `orders-${randomUUID()}`,
    iat,
    exp: iat + 3600,
    jti: randomUUID(),
  };
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = sign(algorithm === "EdDSA" ? null : "sha256", Buffer.from(input), {
    key: privateKey,
    dsaEncoding: "ieee-p1363",
  });
  return `${input}.${signature.toString("base64url")}`;
}
