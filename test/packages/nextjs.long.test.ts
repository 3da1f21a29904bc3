// The Next.js example, apart from the others: its compiler keeps both CPUs busy for tens of seconds.
import { createRequire } from "node:module";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startExampleCaller, type ExampleCaller } from "../support/example-caller.ts";
import { Process, ROOT } from "../support/processes.ts";

let caller: ExampleCaller;
beforeAll(async () => {
  caller = await startExampleCaller();
  return () => caller.close();
});

test("the example of Next.js accepts service tokens only, and serves the keys", { timeout: 120_000 }, async () => {
  const next = createRequire(import.meta.url).resolve("next/dist/bin/next");
  const service = new Process(
    [next, "dev", "--port", "0", "--hostname", "127.0.0.1"],
    { CORE_URI: caller.coreUrl, NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "development" },
    join(ROOT, "examples", "nextjs"),
  );
  onTestFinished(async () => void (await service.kill("SIGTERM")));
  const [, url] = await service.prints(/Local: +(http:\/\/\S+)$/m);
  await caller.expectGuarded(url!);
  expect(service.stderr).toBe("");
});
