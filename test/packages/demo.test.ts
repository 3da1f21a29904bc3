import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Process, ROOT } from "../support/processes.ts";

function runDemo(env: NodeJS.ProcessEnv = {}) {
  const demo = new Process(["examples/demo.mjs", "--once", "--no-build"], env);
  onTestFinished(() => void demo.kill("SIGTERM"));
  return demo.ended;
}

test("the demo shows every request, and exits 0 if every response is as expected", async () => {
  const { code, stdout, stderr } = await runDemo();
  expect(stderr).toBe("");
  const seen = [...stdout.matchAll(/^ {2}(✓|✗) (.+?) {2,}(\d{3}) {2,}(.+)$/gm)].map(([, mark, name, status]) => [
    mark,
    name,
    status,
  ]);
  expect(seen).toEqual([
    ["✓", "orders calls with its own token", "200"],
    ["✓", "no token", "401"],
    ["✓", "the token of an end user", "403"],
    ["✓", "a tampered token", "401"],
    ["✓", "an expired token", "401"],
    ["✓", "a token for inventory, at billing", "401"],
    ["✓", "orders calls billing, not in the policy", "403"],
    ["✓", "the same, added to the policy", "200"],
  ]);
  expect(code).toBe(0);
});

test("the demo exits 1 and shows the difference if signatures are not checked", async () => {
  const broken = join(ROOT, "test", "support", "accept-every-signature.mjs");
  const { code, stdout } = await runDemo({ NODE_OPTIONS: `--import=${broken}` });
  expect(stdout).toMatch(/✗ a tampered token +200 +expected 401/);
  expect(stdout).toContain("1 of 8 responses are not as expected");
  expect(code).toBe(1);
});

test("the demo rejects an unknown option", async () => {
  const demo = new Process(["examples/demo.mjs", "--onec"]);
  const { code, stdout, stderr } = await demo.ended;
  expect(code).toBe(2);
  expect(stderr).toContain("--onec");
  expect(stdout).toContain("usage: npm run demo");
});
