// Runs autocannon in its own process, so that it does not use the server's CPU time.
import autocannon from "autocannon";

/** @typedef {{ url: string, method?: "POST", headers: Record<string, string>, body?: string, seconds: number }} Load */

process.on("message", (/** @type {Load} */ load) => void run(load));

/** @param {Load} load */
async function run({ seconds, ...request }) {
  const result = await autocannon({ ...request, connections: 50, duration: seconds, sampleInt: 100 });
  const { requests, duration, non2xx, errors } = result;
  process.send?.({ failed: non2xx + errors, total: requests.total, seconds: duration });
}
