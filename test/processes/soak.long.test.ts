// R22, its short form in real time; `npm run bench -- soak` runs it for as long as one likes.
import { expect, test } from "vitest";
import { soak } from "../../bench/soak/soak.mjs";
import { temporaryDirectory } from "../support/processes.ts";

test("R22 20 s with keys of 10 s and tokens of 5 s, two cores and two verifiers: no gap", async () => {
  const report = await soak({ seconds: 20, dataDir: await temporaryDirectory() });
  expect(report.gaps).toEqual([]);
  // Or nothing was tested.
  expect(report.kids).toBeGreaterThanOrEqual(3);
  expect(report.verified).toBeGreaterThan(report.tokens * 3);
}, 60_000);
