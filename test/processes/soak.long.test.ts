// Keys and tokens of seconds, in real time (R22). `npm run bench -- soak` runs it for any time.
import { expect, test } from "vitest";
import { soak } from "../../bench/soak/soak.mjs";
import { temporaryDirectory } from "../support/processes.ts";

test("R22 20 s with keys of 10 s and tokens of 5 s, two cores and two verifiers: no gap", async () => {
  const report = await soak({ seconds: 20, dataDir: await temporaryDirectory() });
  expect(report.gaps).toEqual([]);
  // Otherwise the test proves nothing.
  expect(report.kids).toBeGreaterThanOrEqual(3);
  expect(report.verified).toBeGreaterThan(report.tokens * 3);
}, 60_000);
