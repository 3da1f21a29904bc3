// Compares a protected route with the same route behind an empty middleware: same process, same headers, alternating.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { emptyRates, shuffled } from "../rounds.mjs";
import { issue, serveKeySet } from "./issuer.mjs";

const SERVER = fileURLToPath(new URL("./server.mjs", import.meta.url));
const LOAD = fileURLToPath(new URL("./load.mjs", import.meta.url));
const PATHS = { countersign: "/guarded", "a middleware that does nothing": "/open" };
const WARM_UP = 5; // rounds that do not count

/**
 * @param {"fastify" | "hono"} framework @param {number} rounds @param {number} seconds of each measurement
 * @returns {Promise<import("../rounds.mjs").RatesByName>} requests; the CPU time is the server's
 */
export async function protectedRoute(framework, rounds, seconds) {
  const { jwksUri, close } = await serveKeySet();
  const server = fork(SERVER, [framework, jwksUri]);
  const { port } = await answerOf(server);
  const headers = { authorization: `Bearer ${issue("RS256")}` };
  const loads = Object.entries(PATHS).map(([name, path]) => [
    name,
    { url: `http://127.0.0.1:${port}${path}`, headers },
  ]);
  const rates = await measureRoutes(server, [Object.fromEntries(loads)], rounds, seconds);
  close();
  return rates;
}

/**
 * @param {import("node:child_process").ChildProcess} server reports its CPU time since the last message;
 *   it is stopped at the end
 * @param {readonly Record<string, Omit<import("./load.mjs").Load, "seconds">>[]} groups loads by name; those of a group
 *   follow each other
 * @param {number} rounds @param {number} seconds of each measurement
 * @returns {Promise<import("../rounds.mjs").RatesByName>}
 */
export async function measureRoutes(server, groups, rounds, seconds) {
  const load = fork(LOAD);
  const rates = emptyRates(groups.flatMap((group) => Object.keys(group)));
  for (let round = -WARM_UP; round < rounds; round++) {
    for (const [name, request] of shuffled(groups).flatMap((group) => shuffled(Object.entries(group)))) {
      await ask(server, "begin");
      const done = await ask(load, { ...request, seconds });
      const { cpuSeconds } = await ask(server, "end");
      if (done.failed > 0) throw new Error(`${done.failed} requests of ${name} failed`);
      if (round < 0) continue;
      rates.get(name)?.perSecond.push(done.total / done.seconds);
      rates.get(name)?.perCpuSecond.push(done.total / cpuSeconds);
    }
  }
  server.kill();
  load.kill();
  return rates;
}

/** @param {import("node:child_process").ChildProcess} child @param {import("node:child_process").Serializable} question */
function ask(child, question) {
  const answer = answerOf(child);
  child.send(question);
  return answer;
}

/** @param {import("node:child_process").ChildProcess} child */
export async function answerOf(child) {
  const gone = new AbortController();
  const exited = once(child, "exit", { signal: gone.signal }).then(
    () => Promise.reject(new Error("a process of the bench ended")),
    () => [],
  );
  const [answer] = await Promise.race([once(child, "message"), exited]);
  gone.abort();
  return answer;
}
