// A service whose core and key set are down gets REQUESTS (default 100,000) valid requests and as many forgeries.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { outage } from "./outage.mjs";

const requests = Number(process.env["REQUESTS"] ?? 100_000);
const dataDir = await mkdtemp(join(tmpdir(), "countersign-bench-"));
const { answers, wrong, seconds } = await outage({ requests, dataDir });
await rm(dataDir, { recursive: true, force: true });

console.log(`${requests} good requests and ${requests} forgeries in ${seconds.toFixed(0)} s, core and key set gone`);
for (const [what, count] of Object.entries(answers)) console.log(`  ${what}  ${count}`);
console.log(`answered wrongly  ${wrong.length}`);
for (const one of wrong.slice(0, 20)) console.log(`  ${one}`);
if (wrong.length > 0) process.exitCode = 1;
