import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { PATHS } from "countersign/protocol";
import { createHttpInterface } from "../../../src/http/server/server.ts";
import type { UseCases } from "../../../src/http/request/use-cases.ts";
import { IssuerUrls } from "../../../src/use-cases/apps/issuer-urls.ts";
import { expectText, startTestCore } from "../../support/core.ts";
import { recordedLog } from "../../support/log.ts";
import { openDatabase } from "../../support/sqlite.ts";

it("reads the store at most once a second, for any number of requests, and logs nothing", async () => {
  let asked = 0;
  let answer = () => {};
  const store = {
    readState: () => {
      asked++;
      return new Promise<void>((resolve) => (answer = resolve));
    },
  };
  const services = {
    store,
    state: { hasApp: () => true },
    authenticate: () => undefined,
    config: { adminKeys: [], rotation: { jwksMaxAge: 60_000 } },
    issuerUrls: new IssuerUrls(undefined),
    log: recordedLog(),
  } as unknown as UseCases & { log: ReturnType<typeof recordedLog> };
  const http = createHttpInterface(services);
  const hello = async () => (await http.fetch(new Request(`http://core.invalid${PATHS.hello}`))).status;
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const all = Promise.all(Array.from({ length: 50 }, hello));
  await vi.waitFor(() => expect(asked).toBe(1));
  vi.advanceTimersByTime(5_000); // A slow store gets no second query.
  const more = hello();
  answer();
  expect(new Set([...(await all), await more])).toEqual(new Set([200]));
  await hello();
  expect(asked).toBe(1);
  vi.advanceTimersByTime(1_000);
  const next = hello();
  await vi.waitFor(() => expect(asked).toBe(2));
  answer();
  expect(await next).toBe(200);
  expect(services.log.lines).toEqual([]);
});

it("reports within a second that the store is unreadable, and that it is readable again", async () => {
  const log = recordedLog();
  const core = await startTestCore({}, { log });
  const database = await openDatabase(join(core.dataDir, "countersign.db"));
  database.exec("alter table core_state rename to core_state_away");
  const hello = () => core.call(PATHS.hello, { apiKey: null });
  await vi.waitFor(async () => expect((await hello()).status).toBe(500), { timeout: 3_000 });
  for (let i = 0; i < 100; i++) expectText(await hello(), 500, "Internal Error");
  expect((await core.post()).status).toBe(200); // the core still issues tokens
  // Only the maintenance loop logs it, once.
  expect(log.lines.filter((line) => line.startsWith("error")).length).toBeLessThanOrEqual(1);
  database.exec("alter table core_state_away rename to core_state");
  database.close();
  await vi.waitFor(async () => expectText(await hello(), 200, "Hello"), { timeout: 3_000 });
});
