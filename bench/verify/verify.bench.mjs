// Compares verification with the libraries that people would use instead. All ratios come from one run.
import { readFileSync } from "node:fs";
import { ratios, spread } from "../rounds.mjs";
import { newTokens, sameToken } from "./peers.mjs";
import { protectedRoute } from "./routes.mjs";
import { bundleSize, importTimes, runtimeDependencies } from "./weight.mjs";

const TOKENS = 3_000; // created once per algorithm; fewer than the limit of a verifier's cache

/**
 * @typedef {import("../rounds.mjs").Rates} Rates
 * @typedef {{ work: string, ours: string, peer?: string, figure: string, byCpu?: string, asked?: string, met?: boolean }} Line
 *   without `met`: for information
 */

const rounds = Number(process.env["ROUNDS"] ?? 15);
const seconds = Number(process.env["SECONDS"] ?? 1);

/** @type {Record<string, () => Promise<Line[]>>} */
const PARTS = {
  async again() {
    return compare("the same token again, RS256", await sameToken(rounds), { "fast-jwt, cached": 1.5 });
  },
  async rs256() {
    const rates = await newTokens("RS256", rounds, TOKENS);
    const least = { "fast-jwt": 0.95, jose: 2.5, "jsonwebtoken, PEM": 5, "jsonwebtoken, KeyObject": 5 };
    return compare("a new token each time, RS256", rates, least);
  },
  async es256() {
    return compare("a new token each time, ES256", await newTokens("ES256", rounds, TOKENS), AS_FAST);
  },
  async ed25519() {
    return compare("a new token each time, Ed25519", await newTokens("EdDSA", rounds, TOKENS), AS_FAST);
  },
  fastify: () => route("fastify"),
  hono: () => route("hono"),
  async bytes() {
    const [{ minified, gzipped }, dependencies] = await Promise.all([bundleSize(), runtimeDependencies()]);
    const kB = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(2)} kB`;
    const size = { ours: `${kB(minified)} minified`, figure: `${kB(gzipped)} gzipped`, asked: "at most 10 kB" };
    return [
      { work: "all that verifying needs", ...size, met: gzipped <= 10_000 },
      { work: "dependencies", ours: "", figure: String(dependencies), asked: "0", met: dependencies === 0 },
    ];
  },
  async import() {
    const more = spread(importTimes(rounds * 4));
    const figure = `${more.median.toFixed(1)} ms more`;
    const met = more.median <= 15;
    return [{ work: 'import "countersign"', ours: "", peer: "an empty module", figure, asked: "at most 15 ms", met }];
  },
};

const AS_FAST = { "fast-jwt": 0.95, jose: 1.3 };

/** @param {"fastify" | "hono"} framework @returns {Promise<Line[]>} */
async function route(framework) {
  const rates = await protectedRoute(framework, rounds, seconds);
  return compare(`a protected route, ${framework}`, rates, { "a middleware that does nothing": 0.85 });
}

/**
 * @param {string} work @param {import("../rounds.mjs").RatesByName} rates ours as "countersign"
 * @param {Record<string, number>} leasts required ratio by name of the peer
 * @returns {Line[]}
 */
function compare(work, rates, leasts) {
  const [[, ours], ...peers] = /** @type {[[string, Rates], ...[string, Rates][]]} */ ([...rates]);
  return peers.map(([peer, theirs]) => {
    const ratio = ratios(ours.perSecond, theirs.perSecond);
    const least = leasts[peer];
    /** @type {Line} */
    const line = {
      work,
      ours: median(ours.perSecond),
      peer: `${peer}: ${median(theirs.perSecond)}`,
      figure: `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`,
      byCpu: ratios(ours.perCpuSecond, theirs.perCpuSecond).median.toFixed(2),
    };
    return least === undefined ? line : { ...line, asked: `at least ${least.toFixed(2)}`, met: ratio.median >= least };
  });
}

/** @param {readonly number[]} rates */
function median(rates) {
  return `${Math.round(spread(rates).median).toLocaleString("en")}/s`;
}

/** @param {string} name */
function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), "utf8")).version;
}

const parts = process.argv.slice(3);
const unknown = parts.filter((name) => !Object.hasOwn(PARTS, name));
if (unknown.length > 0) {
  console.log(`usage: npm run bench -- verify [PART ...]

parts, all of them by default: ${Object.keys(PARTS).join(" ")}

  ROUNDS   rounds in which the peers alternate; figures are medians, with the least and the most (default 15)
  SECONDS  of each measurement of a route (default 1)

Exit status 1 if a line misses its target.`);
  process.exit(unknown.includes("--help") ? 0 : 2);
}

const peers = ["fast-jwt", "jose", "jsonwebtoken", "fastify", "hono", "@hono/node-server", "autocannon"];
console.log(`${peers.map((name) => `${name} ${versionOf(name)}`).join(", ")}, OpenSSL ${process.versions.openssl}`);
console.log(`${rounds} rounds: median (least to most); by CPU: per CPU second, independent of other processes\n`);
const row = (/** @type {readonly string[]} */ cells) =>
  console.log(cells.map((cell, i) => cell.padEnd([32, 18, 42, 22, 9, 16][i] ?? 0)).join(""));
row(["work", "ours", "peer", "ratio", "by CPU", "asked"]);
for (const name of parts.length > 0 ? parts : Object.keys(PARTS)) {
  for (const { work, ours, peer = "", figure, byCpu = "", asked = "", met } of (await PARTS[name]?.()) ?? []) {
    row([work, ours, peer, figure, byCpu, asked, met === undefined ? "" : met ? "ok" : "MISSED"]);
    if (met === false) process.exitCode = 1;
  }
}
