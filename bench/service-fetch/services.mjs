// Many services in one process, each with its own instance, that request their tokens at the same moment.
import { createCountersign } from "countersign";

const [, , connectionURI = "", apiKey = "", count = "0"] = process.argv;
const fetches = Array.from({ length: Number(count) }, (_, i) => {
  const appInfo = { appName: `service-${i}`, apiDomain: "http://localhost:4001" };
  const instance = createCountersign({ appInfo, core: { connectionURI, apiKey } });
  return instance.createServiceFetch({ audience: "inventory" });
});

process.once("message", () => void run());
process.send?.("ready");

async function run() {
  const began = performance.now();
  /** @type {number[]} */
  const seconds = [];
  /** @type {string[]} */
  const failed = [];
  await Promise.all(
    fetches.map((call) =>
      call.ready().then(
        () => seconds.push((performance.now() - began) / 1000),
        (error) => failed.push(String(error)),
      ),
    ),
  );
  process.send?.({ seconds, failed }, () => process.exit());
}
