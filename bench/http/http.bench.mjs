// Measures the core's routes next to bare Hono routes in the same process, in one interleaved run.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ratios, spread } from "../rounds.mjs";
import { answerOf, measureRoutes } from "../verify/routes.mjs";

const rounds = Number(process.env["ROUNDS"] ?? 15);
const seconds = Number(process.env["SECONDS"] ?? 1);

const server = fork(fileURLToPath(new URL("./server.mjs", import.meta.url)));
const { core, bare, apiKey, secret } = await answerOf(server);

/** @typedef {{ least: number, path: string, method?: "POST", headers?: Record<string, string>, body?: string }} Route */
/** @param {string} algorithm @returns {Route} */
const recipe = (algorithm) => ({
  least: 0.85,
  path: "/recipe/jwt",
  method: "POST",
  headers: { "api-key": apiKey, "cdi-version": "5.4", "content-type": "application/json" },
  body: JSON.stringify({
    payload: { sub: "orders", source: "microservice" },
    algorithm,
    jwksDomain: "https://orders.example.com",
    validity: 3600,
    useStaticSigningKey: false,
  }),
});
/** @type {Record<string, Route>} */
const ROUTES = {
  jwks: { least: 0.8, path: "/.well-known/jwks.json" },
  "jwks-all": { least: 0.8, path: "/.well-known/jwks-all.json" },
  revocations: { least: 0.8, path: "/.well-known/revocations" },
  hello: { least: 0.8, path: "/hello" },
  "recipe-rs256": recipe("RS256"),
  "recipe-es256": recipe("ES256"),
  token: {
    least: 0.85,
    path: "/oauth/token",
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: "orders",
      client_secret: secret,
    }).toString(),
  },
};

const names = process.argv.slice(3);
const unknown = names.filter((name) => !Object.hasOwn(ROUTES, name));
if (unknown.length > 0) {
  console.log(`usage: npm run bench -- http [ROUTE ...]

routes (default: all): ${Object.keys(ROUTES).join(" ")}

Environment:
  ROUNDS   measured rounds; figures are medians (default: 15)
  SECONDS  duration of each measurement (default: 1)

Exit status: 1 if a ratio is below its minimum`);
  process.exit(unknown.includes("--help") ? 0 : 2);
}

const measured = Object.entries(ROUTES).filter(([name]) => names.length === 0 || names.includes(name));
// The core and its peer follow each other, so that other load on the machine affects both alike.
const groups = measured.map(([name, { path, headers = {}, method, body }]) => {
  const request = { headers, ...(method !== undefined && body !== undefined && { method, body }) };
  return Object.fromEntries([core, bare].map((base) => [`${name} ${base}`, { ...request, url: base + path }]));
});
const rates = await measureRoutes(server, groups, rounds, seconds);

console.log(
  `${rounds} rounds: medians; ratio with minimum and maximum; by CPU: requests per CPU second of the server\n`,
);
const row = (/** @type {readonly string[]} */ cells) =>
  console.log(cells.map((cell, i) => cell.padEnd([16, 12, 14, 24, 9, 16][i] ?? 0)).join(""));
row(["route", "core", "bare Hono", "ratio", "by CPU", "minimum"]);
for (const [name, { least }] of measured) {
  const [ours, theirs] = [rates.get(`${name} ${core}`), rates.get(`${name} ${bare}`)];
  if (ours === undefined || theirs === undefined) throw new Error(`${name} was not measured`);
  const ratio = ratios(ours.perSecond, theirs.perSecond);
  const met = ratio.median >= least;
  row([
    name,
    perSecond(ours.perSecond),
    perSecond(theirs.perSecond),
    `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})`,
    ratios(ours.perCpuSecond, theirs.perCpuSecond).median.toFixed(2),
    least.toFixed(2),
    met ? "ok" : "MISSED",
  ]);
  if (!met) process.exitCode = 1;
}

/** @param {readonly number[]} values */
function perSecond(values) {
  return `${Math.round(spread(values).median).toLocaleString("en")}/s`;
}
