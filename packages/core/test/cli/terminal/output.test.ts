import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { AdminError } from "../../../src/cli/client/admin-client.ts";
import { confirm } from "../../../src/cli/terminal/output.ts";
import { TestProcess } from "../../support/cli.ts";

/** A terminal at which somebody types this, and then leaves. */
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
  it(`takes ${typed === "" ? "Ctrl-D" : JSON.stringify(typed)} for ${agrees ? "yes" : "no"}`, async () => {
    const at = terminal(typed);
    const asking = confirm(at, "Everything ends.", undefined);
    if (agrees) await asking;
    else await expect(asking).rejects.toThrow(new AdminError("nothing was done"));
    expect(at.stderr.text).toMatch(/Everything ends\.[^]*Go on\? \[y\/N\]/);
  });
}

it("asks nobody where there is no terminal: only --yes agrees", async () => {
  await expect(confirm(new TestProcess(), "Everything ends.", undefined)).rejects.toThrow(/add --yes/);
  await confirm(new TestProcess(), "Everything ends.", true);
});
