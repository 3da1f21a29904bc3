// Compares verification with the SDK of a fixed commit, in one interleaved run. Every change is measured against the same
// commit, so that small losses do not add up unnoticed.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createVerifier } from "countersign";
import { ratios, spread, interleave } from "../rounds.mjs";
import { issue, serveKeySet } from "./issuer.mjs";

const BASELINE = "311e93f";
const LEAST = 0.97;
const NEW_TOKENS = 3_000;
const SAME_TOKEN_WORKS = 50_000;
const ALGORITHMS = /** @type {const} */ (["RS256", "ES256", "EdDSA"]);

const rounds = Number(process.env["ROUNDS"] ?? 25);
const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/**
 * @typedef {(options: { jwksUri: string }) => import("countersign").Verifier} CreateVerifier
 * @typedef {{ name: string, create: CreateVerifier }} Build
 */

const checkout = mkdtempSync(join(tmpdir(), "countersign-baseline-"));
try {
  /** @type {readonly Build[]} */
  const builds = [
    { name: "this build", create: createVerifier },
    { name: BASELINE, create: await buildBaseline() },
  ];
  const { jwksUri, close } = await serveKeySet();
  console.log(`verification per second, this build and ${BASELINE}; ${rounds} rounds: median (least to most)\n`);
  report("the same token again, RS256", await compareSameToken(builds, jwksUri));
  for (const algorithm of ALGORITHMS) {
    report(`a new token each time, ${algorithm}`, await compareNewTokens(builds, jwksUri, algorithm));
  }
  close();
} finally {
  execFileSync("git", ["worktree", "remove", "--force", checkout], { cwd: root });
  rmSync(checkout, { recursive: true, force: true });
}

/** Checks the commit out and builds its SDK with the tools of this checkout. @returns {Promise<CreateVerifier>} */
async function buildBaseline() {
  execFileSync("git", ["worktree", "add", "--quiet", "--detach", "--force", checkout, BASELINE], { cwd: root });
  symlinkSync(join(root, "node_modules"), join(checkout, "node_modules"));
  const sdk = join(checkout, "packages", "sdk");
  const tsdown = join(dirname(createRequire(import.meta.url).resolve("tsdown/package.json")), "dist", "run.mjs");
  execFileSync(process.execPath, [tsdown], { cwd: sdk, stdio: ["ignore", "ignore", "inherit"] });
  return (await import(pathToFileURL(join(sdk, "dist", "index.mjs")).href)).createVerifier;
}

/** @param {readonly Build[]} builds @param {string} jwksUri */
async function compareSameToken(builds, jwksUri) {
  const token = Buffer.from(issue("RS256"));
  const verifiers = builds.map(({ name, create }) => ({ name, verifier: create({ jwksUri }) }));
  const rates = await interleave({
    works: SAME_TOKEN_WORKS,
    rounds,
    contestants: verifiers.map(({ name, verifier }) => ({
      name,
      async run(from, to) {
        for (let i = from; i < to; i++) requireAllowed(await verifier.verify(token.toString("latin1")));
      },
    })),
  });
  for (const { verifier } of verifiers) verifier.close();
  return rates;
}

/**
 * A new verifier in each round, so that no cache knows a token.
 *
 * @param {readonly Build[]} builds @param {string} jwksUri @param {import("./issuer.mjs").TokenAlgorithm} algorithm
 */
async function compareNewTokens(builds, jwksUri, algorithm) {
  const tokens = Array.from({ length: NEW_TOKENS }, () => Buffer.from(issue(algorithm)));
  const known = issue(algorithm);
  /** @type {Map<string, import("countersign").Verifier>} */
  const verifiers = new Map();
  const rates = await interleave({
    works: NEW_TOKENS,
    rounds,
    contestants: builds.map(({ name, create }) => ({
      name,
      async prepare() {
        verifiers.get(name)?.close();
        const verifier = create({ jwksUri });
        requireAllowed(await verifier.verify(known)); // fetches the keys
        verifiers.set(name, verifier);
      },
      async run(from, to) {
        const verifier = /** @type {import("countersign").Verifier} */ (verifiers.get(name));
        for (const token of tokens.slice(from, to)) requireAllowed(await verifier.verify(token.toString("latin1")));
      },
    })),
  });
  for (const verifier of verifiers.values()) verifier.close();
  return rates;
}

/** @param {import("countersign").Decision} decision */
function requireAllowed(decision) {
  if (!decision.allowed) throw new Error(decision.reason);
}

/** @param {string} work @param {import("../rounds.mjs").RatesByName} rates */
function report(work, rates) {
  const [ours, baseline] = [...rates.values()];
  if (ours === undefined || baseline === undefined) throw new Error("nothing was measured");
  const ratio = ratios(ours.perSecond, baseline.perSecond);
  const byCpu = ratios(ours.perCpuSecond, baseline.perCpuSecond).median;
  const met = Math.max(ratio.median, byCpu) >= LEAST;
  const perSecond = [ours, baseline].map((rate) => Math.round(spread(rate.perSecond).median).toLocaleString("en"));
  console.log(
    `${work.padEnd(32)}${perSecond.join(" / ").padEnd(24)}` +
      `${ratio.median.toFixed(3)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}), by CPU ${byCpu.toFixed(3)}; ` +
      `at least ${LEAST}: ${met ? "ok" : "MISSED"}`,
  );
  if (!met) process.exitCode = 1;
}
