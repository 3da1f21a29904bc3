// Kills a core, whose keys live for seconds, at random moments. Everything that it acknowledged must survive.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createVerifier } from "countersign";

const bin = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "packages", "core", "bin", "countersign.js");
const ADMIN_KEY = "admin-key-of-the-kills-01";
// Seconds. The core creates a key every four seconds, which remains valid for verification for twenty more.
const ROTATION = { lead: 3, period: 4, hold: 20, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };
const KEPT_TOKENS = 300;

/**
 * @typedef {{ kid: string, kind: string, state: string, signsFrom: string, verifiesUntil: string | null }} KeyView
 * @typedef {{ jwt: string, exp: number }} Token
 * @typedef {{
 *   rounds: number,
 *   killedAtStart: number,
 *   ready: number[],
 *   tokens: number,
 *   verified: number,
 *   keys: number,
 *   problems: string[],
 * }} Report `ready` in milliseconds; `problems` must be empty
 */

/**
 * @param {{ rounds: number, dataDir: string, database?: string | undefined, onRound?: (round: number) => void }} options
 * @returns {Promise<Report>}
 */
export async function killRounds({ rounds, dataDir, database, onRound = () => {} }) {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY, COUNTERSIGN_ROTATION: JSON.stringify(ROTATION) };
  delete env["COUNTERSIGN_DATABASE"];
  const place = database === undefined ? ["--data-dir", dataDir] : [];
  if (database !== undefined) {
    env["COUNTERSIGN_DATABASE"] = database;
    env["COUNTERSIGN_MASTER_KEY"] = randomBytes(32).toString("base64url");
  }
  /** @type {Report} */
  const report = { rounds, killedAtStart: 0, ready: [], tokens: 0, verified: 0, keys: 0, problems: [] };
  /** @type {Token[]} */
  let tokens = [];
  /** The acknowledged state of each key. @type {Map<string, KeyView>} */
  const acknowledged = new Map();
  let algorithmsSet = false;

  for (let round = 0; round < rounds; round++) {
    onRound(round);
    const problem = (/** @type {string} */ text) => report.problems.push(`round ${round}: ${text}`);
    const began = performance.now();
    const core = spawn(process.execPath, [bin, "start", "--port", "0", ...place], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ended = new Promise((resolve) => core.once("close", resolve));
    let stderr = "";
    core.stderr.on("data", (chunk) => (stderr += String(chunk)));
    if (round > 0 && Math.random() < 0.2) {
      report.killedAtStart++;
      await sleep(Math.random() * 500);
      core.kill("SIGKILL");
      await ended;
      continue;
    }
    /** @type {string | undefined} */
    const url = await new Promise((resolve) => {
      core.stdout.once("data", (line) => resolve(/http:\S+/.exec(String(line))?.[0]));
      core.once("close", () => resolve(undefined));
    });
    report.ready.push(performance.now() - began);
    if (url === undefined) {
      problem(`did not start: ${stderr}`);
      continue;
    }
    if (!algorithmsSet) {
      await ask(url, "PUT", "/admin/v1/apps/public/algorithms", { algorithms: ["ES256"] });
      algorithmsSet = true;
    }

    // Check what was acknowledged before the last kill.
    const now = Date.now();
    const { keys } = /** @type {{ keys: KeyView[] }} */ (await ask(url, "GET", "/admin/v1/apps/public/keys"));
    const present = new Set(keys.map((key) => key.kid));
    for (const [kid, { verifiesUntil }] of acknowledged) {
      if (verifiesUntil !== null && Date.parse(verifiesUntil) <= now + 1_000) acknowledged.delete(kid);
      else if (!present.has(kid)) problem(`the key ${kid} is lost`);
    }
    const verifier = createVerifier({ jwksUri: `${url}/.well-known/jwks-all.json` });
    tokens = tokens.filter((token) => token.exp > now / 1000 + 1).slice(-KEPT_TOKENS);
    for (const { jwt, exp } of tokens) {
      const decision = await verifier.verify(jwt);
      if (decision.allowed) report.verified++;
      else if (exp > Date.now() / 1000 + 1) problem(`a token is refused: ${decision.reason}`);
    }
    verifier.close();

    // Until the kill, at the same time: tokens of both kinds, manual and automatic rotations.
    const fate = { killed: false };
    const kill = sleep(Math.random() * 500).then(() => {
      fate.killed = true;
      core.kill("SIGKILL");
    });
    const acknowledge = (/** @type {{ keys: KeyView[] }} */ answer) => {
      for (const key of answer.keys) {
        if (!acknowledged.has(key.kid)) report.keys++;
        acknowledged.set(key.kid, key);
      }
    };
    const until = async (/** @type {() => Promise<void>} */ step) => {
      while (!fate.killed) {
        try {
          await step();
        } catch (error) {
          await sleep(20); // until this process knows of the kill
          if (!fate.killed) problem(String(error));
        }
      }
    };
    const mint = (/** @type {boolean} */ useStaticSigningKey) => async () => {
      const payload = { sub: "orders", source: "microservice" };
      // A replaced static key remains valid for 20 s: its tokens must expire before.
      const validity = useStaticSigningKey ? 8 : 20;
      const body = { payload, algorithm: "ES256", jwksDomain: "https://a.test", validity, useStaticSigningKey };
      const { jwt } = /** @type {{ jwt: string }} */ (await ask(url, "POST", "/recipe/jwt", body));
      const claims = JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString());
      tokens.push({ jwt, exp: claims.exp });
      report.tokens++;
    };
    const rotate = async () => {
      const keepUntil = new Date(Date.now() + 20_000).toISOString();
      const rotated = await ask(
        url,
        "POST",
        "/admin/v1/apps/public/keys/rotate",
        { algorithm: "ES256", keepUntil },
        [409],
      );
      if ("keys" in rotated) acknowledge(/** @type {{ keys: KeyView[] }} */ (rotated));
      acknowledge(/** @type {{ keys: KeyView[] }} */ (await ask(url, "GET", "/admin/v1/apps/public/keys")));
    };
    await Promise.all([kill, until(mint(true)), until(mint(false)), until(rotate)]);
    await ended;
  }
  return report;
}

/**
 * @param {string} url @param {string} method @param {string} path @param {object} [body] @param {number[]} [tolerated]
 * @returns {Promise<object>}
 */
async function ask(url, method, path, body, tolerated = []) {
  /** @type {RequestInit} */
  const init = { method };
  if (path.startsWith("/admin/")) init.headers = { authorization: `Bearer ${ADMIN_KEY}` };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(url + path, init);
  const text = await response.text();
  if (response.status !== 200 && !tolerated.includes(response.status)) {
    throw new Error(`${method} ${path}: ${response.status} ${text}`);
  }
  return /** @type {object} */ (JSON.parse(text));
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
