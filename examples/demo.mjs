// `npm run demo`: starts a core, orders, inventory and billing as processes, and shows which requests they accept. With
// `-- --once` it exits after the requests, with status 0 if every response is the expected one.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { argv, execPath, exit, stdout } from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pc from "picocolors";
import { BUILD_STEPS, buildStep } from "../scripts/build.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const flags = argv.slice(2);
const once = flags.includes("--once");
const build = !flags.includes("--no-build");
const unknown = flags.find((flag) => flag !== "--once" && flag !== "--no-build");
if (unknown !== undefined) {
  const help = unknown === "--help" || unknown === "-h";
  if (!help) console.error(`demo: unknown option ${unknown}`);
  console.log(`usage: npm run demo [-- OPTIONS]

  --once      exit after the requests, with status 0 if every response is the expected one
  --no-build  use the existing build`);
  exit(help ? 0 : 2);
}

/** @type {import("node:child_process").ChildProcess[]} */
const children = [];
let dataDir = "";
let leaving = false;

/** @param {number} code */
async function leave(code) {
  if (leaving) return;
  leaving = true;
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await Promise.race([gone, sleep(3_000).then(() => child.kill("SIGKILL"))]);
    }),
  );
  if (dataDir !== "") await rm(dataDir, { recursive: true, force: true });
  exit(code);
}
// Interrupted before the last request, `--once` has not succeeded.
process.on("SIGINT", () => void leave(once ? 130 : 0));
process.on("SIGTERM", () => void leave(once ? 143 : 0));

console.log(`\n${pc.bold("Countersign")}  which service can call which?\n`);
try {
  for (const step of build ? BUILD_STEPS : []) await shown(`build ${step.name}`, () => buildStep(step));
  const passed = await run();
  if (once || !passed) await leave(passed ? 0 : 1);
  console.log(pc.dim("  All services keep running. Press Ctrl-C to stop.\n"));
} catch (error) {
  console.error(`\n${pc.red("The demo failed:")} ${error instanceof Error ? error.message : String(error)}`);
  await leave(1);
}

/** @returns {Promise<boolean>} whether every response is the expected one */
async function run() {
  dataDir = await mkdtemp(join(tmpdir(), "countersign-demo-"));
  const apiKey = randomBytes(24).toString("base64url");
  const adminKey = randomBytes(24).toString("base64url");
  // The shell's settings for another core must not affect this one.
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("COUNTERSIGN_")));

  const coreUrl = await shown("core, creating its keys", async () =>
    listening(
      "core",
      ["packages/core/bin/countersign.js", "start", "--port", await freePort(3567), "--data-dir", dataDir],
      {
        ...own,
        COUNTERSIGN_API_KEYS: apiKey,
        COUNTERSIGN_ADMIN_KEYS: adminKey,
      },
    ),
  );
  /**
   * Calls the admin API, as `countersign services` and `countersign policy` do.
   * @param {string} method @param {string} path @param {object} body @returns {Promise<any>} the response, as --json prints it
   */
  const administer = async (method, path, body) => {
    const headers = { authorization: `Bearer ${adminKey}`, "content-type": "application/json" };
    const url = `${coreUrl}/admin/v1/apps/public${path}`;
    const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: status ${answer.status}: ${await answer.text()}`);
    return answer.json();
  };
  /** @param {string} calls of orders */
  const applyPolicy = (calls) =>
    administer("PUT", "/policy", { text: `services: { orders: { calls: ${calls} }, inventory: {}, billing: {} }` });
  const credential = await shown("services and a policy", async () => {
    for (const name of ["orders", "inventory", "billing"]) await administer("POST", "/services", { name });
    await applyPolicy("{ inventory: [] }");
    return (await administer("POST", "/services/orders/credentials", {})).credential.credential;
  });
  /** @type {string[]} */
  const refusals = [];
  const inventoryUrl = await shown("inventory", async () =>
    listening(
      "inventory",
      ["examples/inventory/dist/main.mjs"],
      { ...own, CORE_URI: coreUrl, CLOCK_TOLERANCE: "0", PORT: await freePort(4002) },
      (line) => refusals.push(line),
    ),
  );
  const billingUrl = await shown("billing", async () =>
    listening(
      "billing",
      ["examples/inventory/dist/main.mjs"],
      { ...own, CORE_URI: coreUrl, SERVICE: "billing", PORT: await freePort(4003) },
      (line) => refusals.push(line),
    ),
  );
  const ordersUrl = await shown("orders, getting its token", async () =>
    listening("orders", ["examples/orders/dist/main.mjs"], {
      ...own,
      BILLING_URL: billingUrl,
      CORE_API_KEY: credential,
      CORE_URI: coreUrl,
      INVENTORY_URL: inventoryUrl,
      PORT: await freePort(4001),
    }),
  );

  // Imported after the build. The demo gets the other tokens from the same core.
  const { createCountersign } = await import("countersign");
  const demo = createCountersign({
    appInfo: { appName: "demo", apiDomain: "http://localhost" },
    core: { connectionURI: coreUrl, apiKey },
  });
  /** @param {object} payload @param {number} [validity] */
  const mint = async (payload, validity) => {
    const answer = await demo.createJWT(payload, validity);
    if (answer.status !== "OK") throw new Error(`the core responded with ${answer.status}`);
    return answer.jwt;
  };
  const valid = await mint({ source: "microservice", service: "you", aud: "inventory" });
  const ofAnEndUser = await mint({ sub: "alice", aud: "inventory" });
  const expired = await mint({ source: "microservice", service: "orders", aud: "inventory" }, 1);

  const stock = `${inventoryUrl}/stock/anvil`;
  /** @param {string} token */
  const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
  /** @type {{ name: string, expected: number, ask: () => Promise<Response> }[]} */
  const requests = [
    {
      name: "orders calls with its own token",
      expected: 200,
      ask: () => fetch(`${ordersUrl}/orders/anvil`, { method: "POST" }),
    },
    { name: "no token", expected: 401, ask: () => fetch(stock) },
    { name: "the token of an end user", expected: 403, ask: () => fetch(stock, bearer(ofAnEndUser)) },
    { name: "a tampered token", expected: 401, ask: () => fetch(stock, bearer(tampered(valid))) },
    {
      name: "an expired token",
      expected: 401,
      ask: async () => {
        await sleep(Math.max(0, claimsOf(expired).exp * 1000 + 50 - Date.now()));
        return fetch(stock, bearer(expired));
      },
    },
    {
      name: "a token for inventory, at billing",
      expected: 401,
      ask: () => fetch(`${billingUrl}/stock/anvil`, bearer(valid)),
    },
    {
      name: "orders calls billing, not in the policy",
      expected: 403,
      ask: () => fetch(`${ordersUrl}/invoices/anvil`, { method: "POST" }),
    },
    {
      name: "the same, added to the policy",
      expected: 200,
      async ask() {
        await applyPolicy("{ inventory: [], billing: [] }");
        for (const until = performance.now() + 6_000; ; await sleep(100)) {
          const answer = await fetch(`${ordersUrl}/invoices/anvil`, { method: "POST" });
          if (answer.ok || performance.now() > until) return answer;
        }
      },
    },
  ];

  console.log(`\n  ${pc.dim("request".padEnd(43))}${pc.dim("status   reason")}`);
  let different = 0;
  for (const { name, expected, ask } of requests) {
    refusals.length = 0;
    const response = await ask();
    const body = await response.text();
    const as = response.status === expected;
    if (!as) different++;
    const why = response.ok ? `accepted: ${body}` : await reason(refusals, body);
    const mark = as ? pc.green("✓") : pc.red("✗");
    const status = (as ? pc.bold : pc.red)(String(response.status));
    console.log(
      `  ${mark} ${name.padEnd(41)}${status}      ${as ? pc.dim(why) : pc.red(`expected ${expected}; ${why}`)}`,
    );
  }
  await demo.close();

  console.log(
    different === 0
      ? `\n  ${pc.green(`All ${requests.length} responses are as expected.`)}\n`
      : `\n  ${pc.red(`${different} of ${requests.length} responses are not as expected.`)}\n`,
  );
  if (!once) console.log(`  Try it yourself:\n\ncurl -i -H "Authorization: Bearer ${valid}" ${stock}\n`);
  return different === 0;
}

/**
 * Returns why the called service rejected the last request: its output arrives through a pipe, shortly after the response.
 * If no service was called, the reason is in the caller's own response.
 * @param {string[]} refusals @param {string} body
 */
async function reason(refusals, body) {
  for (let i = 0; i < 50 && refusals.length === 0; i++) await sleep(10);
  const line = refusals.at(-1);
  return String(line === undefined ? JSON.parse(body).message : JSON.parse(line).why);
}

/**
 * Shows a step while it runs, and how long it took.
 * @template T
 * @param {string} what
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function shown(what, work) {
  const began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  const line = (/** @type {string} */ mark) => `  ${mark} ${what.padEnd(34)}${pc.dim(seconds())}`;
  const timer = stdout.isTTY ? setInterval(() => stdout.write(`\r${line(pc.cyan("…"))}`), 100) : undefined;
  const clear = stdout.isTTY ? "\r" : "";
  try {
    const result = await work();
    stdout.write(`${clear}${line(pc.green("✓"))}\n`);
    return result;
  } catch (error) {
    stdout.write(`${clear}${line(pc.red("✗"))}\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/**
 * Starts a process and waits until it prints its URL.
 * @param {string} name
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} env
 * @param {(line: string) => void} [onLine] receives each line of JSON that it prints
 * @returns {Promise<string>} its URL
 */
function listening(name, command, env, onLine = () => {}) {
  const [script = "", ...rest] = command;
  if (!existsSync(join(root, script))) throw new Error(`${script} is missing`);
  const child = spawn(execPath, [join(root, script), ...rest], { env, cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let errors = "";
  child.stderr.on("data", (chunk) => (errors = (errors + chunk).slice(-4_000)));
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const url = /listening on (http:\/\/\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(url);
      else if (line.startsWith("{")) onLine(line);
    });
    child.on("error", reject);
    child.on("exit", (code) => {
      reject(new Error(`${name} exited with code ${code}\n${errors}`));
      if (!leaving) {
        console.error(`\n${pc.red(`${name} exited`)} with code ${code}\n${errors}`);
        void leave(1);
      }
    });
  });
}

/**
 * Returns the port if it is free, so that addresses match the documentation, otherwise another one.
 * @param {number} wanted
 * @returns {Promise<string>}
 */
async function freePort(wanted) {
  for (const port of [wanted, 0]) {
    const server = createServer();
    /** @type {number | undefined} */
    const free = await new Promise((resolve) => {
      server.once("error", () => resolve(undefined));
      server.listen(port, "127.0.0.1", () => {
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : undefined);
      });
    });
    await new Promise((resolve) => server.close(resolve));
    if (free !== undefined) return String(free);
  }
  throw new Error("no free port");
}

/**
 * Changes the `service` claim to "admin" and keeps the signature.
 * @param {string} token
 */
function tampered(token) {
  const [header, , signature] = token.split(".");
  const claims = { ...claimsOf(token), service: "admin" };
  return [header, Buffer.from(JSON.stringify(claims)).toString("base64url"), signature].join(".");
}

/** @param {string} token */
function claimsOf(token) {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
}
