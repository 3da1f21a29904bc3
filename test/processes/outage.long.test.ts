// Its short form; `npm run bench -- outage` sends fifty times as many.
import { expect, test } from "vitest";
import { outage } from "../../bench/outage/outage.mjs";
import { temporaryDirectory } from "../support/processes.ts";

test("R9 a service whose core and key set are gone answers 2,000 good requests and 2,000 forgeries rightly", async () => {
  const { answers, wrong } = await outage({ requests: 2_000, dataDir: await temporaryDirectory() });
  expect(wrong).toEqual([]);
  expect(answers["good 200"]).toBe(2_000);
  expect((answers["forged 401"] ?? 0) + (answers["forged 400"] ?? 0) + (answers["forged 403"] ?? 0)).toBe(2_000);
}, 120_000);
