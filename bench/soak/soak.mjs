// Two cores on one store with keys of ten seconds and tokens of five, and a verifier for each that fetches no more often
// than the cache header allows. Every failure is a gap.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createVerifier } from "countersign";

const bin = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "packages", "core", "bin", "countersign.js");
const ADMIN_KEY = "admin-key-of-the-soak-001";

/**
 * @typedef {{ seconds: number, dataDir: string, database?: string | undefined, keySeconds?: number,
 *   tokenSeconds?: number, pause?: number }} SoakOptions `pause`: milliseconds between two tokens of one core and kind
 * @typedef {{ tokens: number, verified: number, clamped: number, kids: number, longestPause: number, gaps: string[] }} SoakReport
 *   `longestPause`: the most milliseconds between two tokens of one core and kind
 */

/** @param {SoakOptions} options @returns {Promise<SoakReport>} */
export async function soak({ seconds, dataDir, database, keySeconds = 10, tokenSeconds = 5, pause = 20 }) {
  const lead = Math.min(3, keySeconds);
  const rotation = { lead, period: keySeconds, hold: keySeconds, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY, COUNTERSIGN_ROTATION: JSON.stringify(rotation) };
  delete env["COUNTERSIGN_DATABASE"];
  if (database !== undefined) {
    env["COUNTERSIGN_DATABASE"] = database;
    env["COUNTERSIGN_MASTER_KEY"] = randomBytes(32).toString("base64url");
  }
  /** @type {SoakReport} */
  const report = { tokens: 0, verified: 0, clamped: 0, kids: 0, longestPause: 0, gaps: [] };
  const kids = new Set();
  const place = database === undefined ? ["--data-dir", dataDir] : [];
  const cores = [await start(env, place), await start(env, place)];
  const [first] = cores;
  const body = JSON.stringify({ algorithms: ["ES256"] });
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  await fetch(`${first?.url}/admin/v1/apps/public/algorithms`, { method: "PUT", headers, body });
  await sleep(1_500); // until the other core has seen the change
  const verifiers = cores.map(({ url }) =>
    createVerifier({ jwksUri: `${url}/.well-known/jwks-all.json`, clockTolerance: 0 }),
  );
  const began = Date.now();
  const gap = (/** @type {string} */ what) =>
    report.gaps.push(`${((Date.now() - began) / 1000).toFixed(1)} s: ${what}`);
  /** @param {string} jwt @param {number} exp @param {string} when */
  async function check(jwt, exp, when) {
    for (const [i, verifier] of verifiers.entries()) {
      const decision = await verifier.verify(jwt);
      if (decision.allowed) report.verified++;
      else if (Date.now() < exp * 1000) gap(`verifier ${i} refuses a token ${when}: ${decision.reason}`);
    }
  }
  /** @type {Set<Promise<void>>} */
  const later = new Set();
  /** @param {string} url @param {boolean} useStaticSigningKey */
  async function issue(url, useStaticSigningKey) {
    let last = Date.now();
    while (Date.now() < began + seconds * 1000) {
      const payload = { sub: "orders", source: "microservice" };
      const fields = { payload, algorithm: "ES256", jwksDomain: "https://a.test", validity: tokenSeconds };
      const request = JSON.stringify({ ...fields, useStaticSigningKey });
      const response = await fetch(`${url}/recipe/jwt`, { method: "POST", body: request });
      const text = await response.text();
      report.longestPause = Math.max(report.longestPause, Date.now() - last);
      last = Date.now();
      if (response.status !== 200) gap(`no token: ${response.status} ${text}`);
      else {
        const { jwt } = /** @type {{ jwt: string }} */ (JSON.parse(text));
        const [header, claims] = jwt.split(".").map((part) => Buffer.from(part, "base64url").toString());
        const { iat, exp } = JSON.parse(claims ?? "");
        kids.add(JSON.parse(header ?? "").kid);
        report.tokens++;
        if (exp < iat + tokenSeconds) report.clamped++;
        await check(jwt, exp, "at once");
        const again = sleep(exp * 1000 - Date.now() - 200).then(() => check(jwt, exp, "just before its exp"));
        later.add(again);
        void again.then(() => later.delete(again));
      }
      await sleep(pause);
    }
  }
  await Promise.all(cores.flatMap(({ url }) => [issue(url, true), issue(url, false)]));
  await Promise.all(later);
  for (const verifier of verifiers) verifier.close();
  for (const core of cores) {
    await core.stop();
    if (core.errors() > 0) gap(`a core logged ${core.errors()} error(s)`);
  }
  return { ...report, kids: kids.size };
}

/**
 * @param {NodeJS.ProcessEnv} env @param {string[]} place
 * @returns {Promise<{ url: string, errors: () => number, stop: () => Promise<void> }>}
 */
async function start(env, place) {
  const core = spawn(process.execPath, [bin, "start", "--port", "0", ...place], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  /** @type {Promise<void>} */
  const ended = new Promise((resolve) => core.once("close", () => resolve()));
  let errors = 0;
  let stderr = "";
  core.stderr.on("data", (chunk) => {
    errors += String(chunk).split('"level":"error"').length - 1;
    stderr = String(chunk);
  });
  /** @type {string} */
  const url = await new Promise((resolve, reject) => {
    core.stdout.once("data", (line) => resolve(/http:\S+/.exec(String(line))?.[0] ?? ""));
    core.once("close", () => reject(new Error(`a core did not start: ${stderr}`)));
  });
  return {
    url,
    errors: () => errors,
    stop: () => {
      core.kill("SIGTERM");
      return ended;
    },
  };
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
