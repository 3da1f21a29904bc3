// A service whose core and key set are unavailable (R9). `npm run bench -- outage` sends 100,000 requests.
import { expect, test } from "vitest";
import { outage } from "../../bench/outage/outage.mjs";
import { temporaryDirectory } from "../support/processes.ts";
import { rounds } from "../support/rounds.ts";

const REQUESTS = rounds({ quick: 200, short: 500, full: 2_000 });

test(`R9 a service whose core and key set are unavailable answers ${REQUESTS} valid requests and as many forgeries correctly`, async () => {
  const { answers, wrong } = await outage({ requests: REQUESTS, dataDir: await temporaryDirectory() });
  expect(wrong).toEqual([]);
  expect(answers["good 200"]).toBe(REQUESTS);
  expect((answers["forged 401"] ?? 0) + (answers["forged 400"] ?? 0) + (answers["forged 403"] ?? 0)).toBe(REQUESTS);
}, 120_000);
