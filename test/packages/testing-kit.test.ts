// The test kit without vitest; packages/sdk/test/testing has its own tests.
import { expect, test } from "vitest";
import { Process } from "../support/processes.ts";

test("works under node:test", async () => {
  const { code, stdout } = await new Process(["--test", "--test-reporter=tap", "test/support/protected-route.mjs"])
    .ended;
  expect([code, /^# pass (\d+)$/m.exec(stdout)?.[1], /^# fail (\d+)$/m.exec(stdout)?.[1]]).toEqual([0, "1", "0"]);
});
