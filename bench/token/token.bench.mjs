// What the token endpoint costs beside a bare Hono route that only signs: the same ES256, the same process, by turns.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ratios, spread } from "../rounds.mjs";
import { answerOf, routesByTurns } from "../verify/routes.mjs";

const LEAST = 0.85;
const rounds = Number(process.env["ROUNDS"] ?? 15);
const seconds = Number(process.env["SECONDS"] ?? 1);

const server = fork(fileURLToPath(new URL("./server.mjs", import.meta.url)));
const { core, bare, secret } = await answerOf(server);
const body = new URLSearchParams({ grant_type: "client_credentials", client_id: "orders", client_secret: secret });
const request = {
  ...{ method: /** @type {const} */ ("POST"), body: body.toString() },
  headers: { "content-type": "application/x-www-form-urlencoded" },
};
const loads = {
  "POST /oauth/token": { ...request, url: `${core}/oauth/token` },
  "a route that only signs": { ...request, url: `${bare}/oauth/token` },
};
const rates = await routesByTurns(server, loads, rounds, seconds);

console.log(`${rounds} rounds: median (least to most); by CPU: by the time spent on it, whoever else is at work\n`);
const [ours, theirs] = [...rates.values()];
if (ours === undefined || theirs === undefined) throw new Error("nothing was measured");
for (const [name, { perSecond }] of rates) {
  console.log(`${name.padEnd(28)}${Math.round(spread(perSecond).median).toLocaleString("en")}/s`);
}
const ratio = ratios(ours.perSecond, theirs.perSecond);
const byCpu = ratios(ours.perCpuSecond, theirs.perCpuSecond).median;
const met = ratio.median >= LEAST;
console.log(
  `ratio ${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}), by CPU ${byCpu.toFixed(2)}; ` +
    `at least ${LEAST} is asked: ${met ? "ok" : "MISSED"}`,
);
if (!met) process.exitCode = 1;
