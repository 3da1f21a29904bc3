import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, it } from "vitest";
import { AdminError } from "../../../src/cli/client/admin-client.ts";
import { confirm } from "../../../src/cli/terminal/output.ts";

/** A terminal at which somebody types this, and then leaves. */
function terminal(typed: string) {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  stdin.end(typed);
  return { stdin, stderr: new PassThrough() };
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
    const asking = confirm("Everything ends.", undefined, at);
    if (agrees) await asking;
    else await expect(asking).rejects.toThrow(new AdminError("nothing was done"));
    at.stderr.end();
    expect(await text(at.stderr)).toMatch(/Everything ends\.[^]*Go on\? \[y\/N\]/);
  });
}

it("asks nobody where there is no terminal: only --yes agrees", async () => {
  const away = { stdin: new PassThrough(), stderr: new PassThrough() };
  await expect(confirm("Everything ends.", undefined, away)).rejects.toThrow(/add --yes/);
  await confirm("Everything ends.", true, away);
});
