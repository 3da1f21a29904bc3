import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { AdminError } from "../../../src/cli/client/admin-client.ts";
import { confirm } from "../../../src/cli/terminal/output.ts";
import { TestProcess } from "../../support/cli.ts";

/** A terminal whose user types this, then closes the input. */
function terminal(typed: string): TestProcess {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  stdin.end(typed);
  return new TestProcess({}, stdin);
}

for (const [typed, agrees] of [
  ["y\n", true],
  ["YES\n", true],
  ["n\n", false],
  ["\n", false],
  ["yonder\n", false],
  ["", false],
] as const) {
  it(`reads ${typed === "" ? "Ctrl-D" : JSON.stringify(typed)} as ${agrees ? "yes" : "no"}`, async () => {
    const at = terminal(typed);
    const asking = confirm(at, "Everything ends.", undefined);
    if (agrees) await asking;
    else await expect(asking).rejects.toThrow(new AdminError("aborted"));
    expect(at.stderr.text).toMatch(/Everything ends\.[^]*Continue\? \[y\/N\]/);
  });
}

it("does not ask without a terminal: only --yes confirms", async () => {
  await expect(confirm(new TestProcess(), "Everything ends.", undefined)).rejects.toThrow(/^aborted; pass --yes/);
  await confirm(new TestProcess(), "Everything ends.", true);
});
