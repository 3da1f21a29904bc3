// Sends valid and forged requests, mixed, to a service whose core and key set are down. The service has fetched the key set
// once, so every response must be correct.
import { spawn } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { Agent, request } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const CORE = ["packages/core/bin/countersign.js", "start", "--port", "0"];
const SERVICE = ["examples/inventory/dist/main.mjs"];
const AT_ONCE = 50;
/** Distinct valid tokens, so that some are not in the cache yet. */
const TOKENS = 2_000;

/** @typedef {{ authorization: string, status: number, caller?: string }} Case a request and its expected response */

/**
 * @param {{ requests: number, dataDir: string }} options `requests`: number of valid requests, and of forgeries
 * @returns {Promise<{ answers: Record<string, number>, wrong: string[], seconds: number }>}
 */
export async function outage({ requests, dataDir }) {
  const core = await start([...CORE, "--data-dir", dataDir], {});
  const service = await start(SERVICE, { CORE_URI: core.url, PORT: "0" });
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  try {
    const good = await goodCases(core.url);
    const user = await mint(core.url, { sub: "alice", source: "user" });
    const bad = [{ authorization: `Bearer ${user}`, status: 403 }, ...forgeriesOf(good)];
    const first = await ask(agent, service.url, good[0]?.authorization ?? "");
    if (first.status !== 200) throw new Error(`the service answered ${first.status} before the outage`);
    await core.kill();

    /** @type {Record<string, number>} */
    const answers = {};
    /** @type {string[]} */
    const wrong = [];
    const began = performance.now();
    let sent = 0;
    const one = async () => {
      while (sent < 2 * requests) {
        const i = sent++;
        const cases = i % 2 === 0 ? good : bad;
        const { authorization, status, caller } = /** @type {Case} */ (cases[(i * 7) % cases.length]);
        const answer = await ask(agent, service.url, authorization);
        const what = `${i % 2 === 0 ? "good" : "forged"} ${answer.status}`;
        answers[what] = (answers[what] ?? 0) + 1;
        if (answer.status !== status || (caller !== undefined && answer.caller !== caller)) {
          wrong.push(`${answer.status} ${answer.caller ?? ""} instead of ${status} ${caller ?? ""}`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
    return { answers, wrong, seconds: (performance.now() - began) / 1000 };
  } finally {
    agent.destroy();
    await Promise.all([core.kill(), service.kill()]);
  }
}

/** @param {string} url @returns {Promise<Case[]>} */
async function goodCases(url) {
  /** @type {Case[]} */
  const cases = [];
  for (let i = 0; i < TOKENS; i++) {
    const caller = `service-${i}`;
    cases.push({
      authorization: `Bearer ${await mint(url, { sub: caller, source: "microservice" })}`,
      status: 200,
      caller,
    });
  }
  return cases;
}

/** @param {string} url @param {object} payload */
async function mint(url, payload) {
  const fields = {
    payload: { aud: "inventory", ...payload },
    algorithm: "RS256",
    jwksDomain: "https://a.test",
    validity: 86_400,
  };
  const response = await fetch(`${url}/recipe/jwt`, { method: "POST", body: JSON.stringify(fields) });
  return /** @type {{ jwt: string }} */ (await response.json()).jwt;
}

/** @param {readonly Case[]} good @returns {Case[]} */
function forgeriesOf(good) {
  const otherKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
  /** @type {Case[]} */
  const bad = [];
  for (const { authorization } of good.slice(0, 300)) {
    const [header = "", payload = "", signature = ""] = authorization.replace("Bearer ", "").split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    const admin = encode({ ...claims, sub: "admin" });
    const { kid } = JSON.parse(Buffer.from(header, "base64url").toString());
    const unknown = encode({ alg: "RS256", kid: `s-${claims.jti}` });
    const none = encode({ alg: "none", kid });
    const forged = sign("sha256", Buffer.from(`${header}.${admin}`), otherKey).toString("base64url");
    for (const token of [
      `${header}.${admin}.${signature}`,
      `${header}.${admin}.${forged}`,
      `${header}.${payload}.${signature.slice(0, -6)}AAAAAA`,
      `${header}.${payload}.${signature.slice(1)}`,
      `${unknown}.${payload}.${signature}`,
      `${none}.${admin}.`,
      `${header}.${payload}`,
    ]) {
      bad.push({ authorization: `Bearer ${token}`, status: 401 });
    }
    bad.push({ authorization: `Bearer ${header}.${payload}.${signature} x`, status: 400 });
  }
  return bad;
}

/** @param {object} part */
function encode(part) {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

/** @param {Agent} agent @param {string} url @param {string} authorization @returns {Promise<{ status: number, caller?: string }>} */
function ask(agent, url, authorization) {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${url}/stock/anvil`, { agent, headers: { authorization } }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += String(chunk)));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, ...JSON.parse(text) }));
      response.on("error", reject);
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

/** @param {readonly string[]} command @param {NodeJS.ProcessEnv} extra @returns {Promise<{ url: string, kill(): Promise<void> }>} */
async function start(command, extra) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("COUNTERSIGN_"));
  const child = spawn(process.execPath, command, {
    cwd: root,
    env: { ...Object.fromEntries(own), ...extra },
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const url = await new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk) => {
      const match = /http:\/\/\S+/.exec(String(chunk));
      if (match !== null) resolve(match[0]);
    });
    child.once("close", () => reject(new Error(`${command[0]} ended`)));
  });
  return {
    url,
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
