// Measures what createServiceFetch adds to a fetch, and how long ten thousand services take to get a token at once.
import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createCountersign } from "countersign";
import { spread, interleave } from "../rounds.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const RUN = fileURLToPath(new URL("./services.mjs", import.meta.url));
const MOST = 5; // microseconds, the limit for the additional cost of a call
const CALLS = 50_000;
const API_KEY = "an-api-key-for-the-bench";

const rounds = Number(process.env["ROUNDS"] ?? 15);
const services = Number(process.env["SERVICES"] ?? 10_000);
const processes = Number(process.env["PROCESSES"] ?? 4);

/** @type {Record<string, () => Promise<void>>} */
const PARTS = { call, deploy };

/** Replaces fetch with a function that responds immediately, so that only our own cost is left. */
async function call() {
  const core = await startCore();
  const instance = createCountersign({ appInfo: APP, core: { connectionURI: core.url, apiKey: API_KEY } });
  const ours = instance.createServiceFetch({ audience: "inventory", scope: "stock:reserve" });
  await ours.ready();
  const token = await instance.getServiceToken({ audience: "inventory", scope: "stock:reserve" });
  const real = globalThis.fetch;
  const answer = new Response();
  globalThis.fetch = async () => answer;

  const url = "https://inventory.internal/stock/anvil";
  const body = JSON.stringify({ take: 1 });
  const headers = {
    "content-type": "application/json",
    accept: "application/json",
    "x-request-id": "0af7651916cd43dd",
  };
  /** @type {Record<string, [plain: () => Promise<Response>, ours: () => Promise<Response>]>} */
  const kinds = {
    "GET, no headers": [() => fetch(url, { headers: { authorization: `Bearer ${token}` } }), () => ours(url)],
    "POST, three headers": [
      () => fetch(url, { method: "POST", body, headers: { ...headers, authorization: `Bearer ${token}` } }),
      () => ours(url, { method: "POST", body, headers }),
    ],
  };
  console.log(
    `a call with a token that is kept, ${rounds} rounds: median (least to most), microseconds of CPU more than fetch\n`,
  );
  for (const [kind, [plain, own]] of Object.entries(kinds)) {
    const contestants = Object.entries({ plain, own }).map(([name, send]) => ({
      name,
      /** @param {number} from @param {number} to */
      run: async (from, to) => {
        for (let i = from; i < to; i++) await send();
      },
    }));
    const rates = await interleave({ contestants, works: CALLS, rounds });
    // By CPU time, so that other processes on the machine do not count.
    const micros = (/** @type {string} */ name) => (rates.get(name)?.perCpuSecond ?? []).map((rate) => 1e6 / rate);
    const bare = micros("plain");
    const more = spread(micros("own").map((one, round) => one - (bare[round] ?? NaN)));
    const figure = `${more.median.toFixed(2)} (${more.min.toFixed(2)} to ${more.max.toFixed(2)})`;
    report(kind, figure, `at most ${MOST}`, more.median <= MOST);
  }
  globalThis.fetch = real;
  await instance.close();
  await core.stop();
}

/** As after a deploy: no service has a token, and all request one from the same core at once. */
async function deploy() {
  const core = await startCore();
  // Each service would warn of the core that it waits for: on one terminal, thousands.
  const quiet = { execArgv: ["--no-warnings"] };
  const share = String(services / processes);
  const runs = Array.from({ length: processes }, () => fork(RUN, [core.url, API_KEY, share], quiet));
  await Promise.all(runs.map((run) => once(run, "message"))); // ready
  for (const run of runs) run.send("begin");
  /** @type {{ seconds: number[], failed: string[] }[]} */
  const results = (await Promise.all(runs.map((run) => once(run, "message")))).map(([result]) => result);
  const seconds = results.flatMap((result) => result.seconds);
  const failed = results.flatMap((result) => result.failed);
  const { median, max } = spread(seconds);
  console.log(`${services} services in ${processes} processes ask one core at once\n`);
  report("have a token", String(seconds.length), `all ${services}`, seconds.length === services);
  report("failed", String(failed.length), "0", failed.length === 0);
  if (failed[0] !== undefined) console.log(`  such as: ${failed[0]}`);
  report("seconds until half, all have one", `${median.toFixed(1)}, ${max.toFixed(1)}`, "", undefined);
  report("tokens per second", String(Math.round(seconds.length / max)), "", undefined);
  await core.stop();
}

const APP = { appName: "orders", apiDomain: "http://localhost:4001" };

/** @param {string} work @param {string} figure @param {string} asked @param {boolean | undefined} met */
function report(work, figure, asked, met) {
  const verdict = met === undefined ? "" : met ? "ok" : "MISSED";
  console.log(work.padEnd(36) + figure.padEnd(28) + asked.padEnd(16) + verdict);
  if (met === false) process.exitCode = 1;
}

/** @returns {Promise<{ url: string, stop: () => Promise<void> }>} */
async function startCore() {
  const dataDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
  const command = ["packages/core/bin/countersign.js", "start", "--port", "0", "--data-dir", dataDir];
  const core = spawn(process.execPath, [...command, "--api-key", API_KEY], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(createInterface({ input: core.stdout }), "line");
  return {
    url: /http:\/\/\S+/.exec(line)?.[0] ?? "",
    async stop() {
      core.kill("SIGKILL");
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

const parts = process.argv.slice(3);
const unknown = parts.filter((name) => !Object.hasOwn(PARTS, name));
if (unknown.length > 0) {
  console.log(`usage: npm run bench -- service-fetch [PART ...]

parts, all of them by default: ${Object.keys(PARTS).join(" ")}

  ROUNDS     rounds in which a call and a bare fetch alternate (default 15)
  SERVICES   that ask at once (default 10000)
  PROCESSES  that they live in (default 4)

Exit status 1 if a line misses its target.`);
  process.exit(unknown.includes("--help") ? 0 : 2);
}
for (const name of parts.length > 0 ? parts : Object.keys(PARTS)) {
  await PARTS[name]?.();
  console.log();
}
