// `countersign policy` as an operator uses it: on a data directory while the core runs, and over the network.
import { writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { definePolicy } from "countersign";
import { describe, expect, test } from "vitest";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

const ADMIN_KEY = "test-admin-key-of-26-chars";
const POLICY = `# who calls whom
services:
  orders:
    calls:
      inventory: [stock:read, stock:reserve]
  inventory: {}
`;

/** A running core with two services, and the two ways to administer it. */
async function bench() {
  const dataDir = await temporaryDirectory();
  const core = await startCore(dataDir, ["--admin-key", ADMIN_KEY]);
  const env = { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY };
  const ways = {
    "over the network": (command: string[]) => runCommand([...command, "--url", core.url], env),
    "on the data directory": (command: string[]) => runCommand([...command, "--data-dir", dataDir]),
  };
  for (const name of ["orders", "inventory"]) {
    expect((await ways["over the network"](["services", "register", name])).stderr).toBe("");
  }
  const fileOf = async (text: string) => {
    const file = join(dataDir, "policy.yaml");
    await writeFile(file, text);
    return file;
  };
  return { core, dataDir, ways, fileOf };
}

describe.each(["over the network", "on the data directory"] as const)("%s", (way) => {
  test("a policy is compared, applied, shown, tested and listed", async () => {
    const { ways, fileOf } = await bench();
    const policy = (...command: string[]) => ways[way](["policy", ...command]);
    expect(await policy("show")).toMatchObject({
      code: 1,
      stderr: 'countersign: app "public" has no policy\n',
    });

    const file = await fileOf(POLICY);
    const changes = [
      "+ orders",
      "+ orders can call inventory",
      "+ orders can request stock:read from inventory",
      "+ orders can request stock:reserve from inventory",
      "+ inventory",
      "",
    ].join("\n");
    expect(await policy("diff", file)).toMatchObject({ code: 0, stdout: changes, stderr: "" });

    const asked = await policy("apply", file);
    expect([asked.code, asked.stdout, asked.stderr]).toEqual([
      1,
      changes,
      expect.stringMatching(
        /^This is the first policy of app public\. .* within 6 s.*\ncountersign: aborted; pass --yes/,
      ),
    ]);
    expect((await policy("show")).code).toBe(1);

    const applied = await policy("apply", file, "--yes");
    expect([applied.code, applied.stdout]).toEqual([0, `${changes}version 1 is now current in app public\n`]);
    const shown = await policy("show");
    expect(shown.stdout).toMatch(/^# version 1, applied \S+ \S+Z by /);
    expect(shown.stdout.replace(/^#.*\n/, "")).toBe(POLICY.replace(/^#.*\n/, ""));
    // The printed policy can be applied again, and changes nothing.
    const again = await policy("apply", await fileOf(shown.stdout));
    expect([again.code, again.stdout]).toEqual([0, "no changes\nversion 1 is now current in app public\n"]);

    const next = await fileOf(POLICY.replace(", stock:reserve", ""));
    expect((await policy("apply", next, "--yes", "--by", "Zoë, ticket 7")).stdout).toBe(
      "- orders can request stock:reserve from inventory\nversion 2 is now current in app public\n",
    );
    const versions = (await policy("versions")).stdout.split("\n");
    expect(versions[1]).toMatch(/^2 +\S+ \S+Z +admin key [0-9a-f]{6}: Zoë, ticket 7$/);
    const who =
      way === "over the network" ? /admin key [0-9a-f]{6}$/ : new RegExp(`${userInfo().username} \\(local\\)$`);
    expect(versions[2]).toMatch(who);
    expect((await policy("show", "1")).stdout).toContain("[stock:read, stock:reserve]");
    expect(await policy("show", "3")).toMatchObject({ code: 1, stderr: "countersign: policy version not found\n" });

    expect(await policy("test", "orders", "inventory", "stock:read")).toMatchObject({
      ...{ code: 0, stdout: "allowed  services.orders.calls.inventory grants stock:read.\n", stderr: "" },
    });
    expect(await policy("test", "orders", "inventory", "stock:reserve")).toMatchObject({
      code: 1,
      stdout:
        "not allowed  services.orders.calls.inventory grants stock:read, but not stock:reserve. To allow it, add stock:reserve " +
        "to that list.\n",
    });
    const services = (what: string) =>
      ways[way](["services", what, "orders", "--yes"].slice(0, what === "enable" ? 3 : 4));
    expect((await services("disable")).code).toBe(0);
    const disabled = await policy("test", "orders", "inventory", "stock:read");
    expect([disabled.code, disabled.stdout]).toEqual([
      1,
      expect.stringMatching(/^not allowed {2}orders is disabled: it gets no token\. /),
    ]);
    expect((await services("enable")).code).toBe(0);
    expect((await policy("test", "orders", "ghost")).stdout).toContain("register ghost, declare ghost in services and");
    expect((await policy("test", "orders", "Inventory")).stderr).toMatch(/^countersign: a service name/);
    expect((await policy("report")).stdout).toBe("caller  callee  scope  count  first  last\n");

    // A service in the policy can be disabled, and deleted once the policy does not name it.
    const remove = () => ways[way](["services", "delete", "orders", "--yes"]);
    expect(await remove()).toMatchObject({
      ...{ code: 1, stdout: "" },
      stderr: expect.stringMatching(
        /^countersign: the current policy \(version 2\) references this service; apply a policy without it, then delete it/m,
      ),
    });
    expect((await policy("apply", await fileOf("services: {}"), "--yes")).code).toBe(0);
    expect((await remove()).stdout).toBe("deleted orders\n");

    const json = JSON.parse((await policy("versions", "--json")).stdout) as { versions: { version: number }[] };
    expect(json.versions.map(({ version }) => version)).toEqual([3, 2, 1]);
    expect(JSON.parse((await policy("show", "--json")).stdout)).toMatchObject({ policy: { version: 3 } });
    const same = await fileOf("services: {}");
    expect(JSON.parse((await policy("diff", same, "--json")).stdout)).toEqual({ diff: { version: 3, changes: [] } });
  });

  test("an error is shown in its line, with a caret below it, and changes nothing", async () => {
    const { ways, fileOf } = await bench();
    const policy = (...command: string[]) => ways[way](["policy", ...command]);
    await policy("apply", await fileOf(POLICY), "--yes");
    const file = await fileOf(
      POLICY.replace("stock:reserve", "stock reserve").replace("  inventory: {}", "  ghost: {}"),
    );
    for (const command of ["diff", "apply"]) {
      const { code, stdout, stderr } = await policy(command, file, ...(command === "apply" ? ["--yes"] : []));
      expect([code, stdout, stderr]).toEqual([
        1,
        "",
        [
          `${file}:5:7: "inventory" is not declared in services`,
          "        inventory: [stock:read, stock reserve]",
          "        ^",
          `${file}:5:31: a scope cannot contain spaces; write each scope as its own list item`,
          "        inventory: [stock:read, stock reserve]",
          "                                ^",
          `${file}:6:3: service "ghost" is not registered in this app`,
          "    ghost: {}",
          "    ^",
          "",
        ]
          .join("\n")
          .replace(/^(?=.)/gm, "countersign: "),
      ]);
    }
    expect((await policy("show")).stdout).toMatch(/^# version 1,/);
    const empty = await policy("diff", await fileOf(""));
    expect([empty.code, empty.stderr]).toEqual([1, expect.stringMatching(/^countersign: \S+:1:1: [^\n]+\n$/)]);
    expect((await policy("diff", "/nowhere.yaml")).stderr).toMatch(/^countersign: cannot read \/nowhere\.yaml/);
  });
});

test("the result of definePolicy is applied from a pipe, as JSON", async () => {
  const { ways, dataDir } = await bench();
  const policy = definePolicy({
    services: { orders: { calls: { inventory: ["stock:read"] } }, inventory: { scopes: ["stock:read"] } },
  });
  const apply = (...flags: string[]) => {
    const command = ["policy", "apply", ...flags, "-", "--data-dir", dataDir];
    return runCommand(command, {}, JSON.stringify(policy));
  };
  expect([(await apply()).code, (await apply("--yes")).code]).toEqual([1, 0]); // no terminal to confirm on
  const shown = await ways["on the data directory"](["policy", "show", "--json"]);
  expect(JSON.parse(shown.stdout)).toMatchObject({ policy: { document: policy } });
});

test("an error far along a line is shown with its context, without control characters", async () => {
  const { dataDir } = await bench();
  const scopes = Array.from({ length: 90 }, (_, i) => `"s${i}"`).join(",");
  const text = `{"services":{"orders":{"calls":{"orders":[${scopes},"\u001b[2Ja b"]}}}}`;
  const { stderr, code } = await runCommand(["policy", "diff", "-", "--data-dir", dataDir], {}, text);
  expect(code).toBe(1);
  const [place, line, caret] = stderr.split("\n").map((one) => one.replace(/^countersign: /, ""));
  const column = text.indexOf('"\u001b') + 1;
  expect(place).toBe(`stdin:1:${column}: a scope cannot contain spaces; write each scope as its own list item`);
  expect(line).toMatch(/^ {2}.{60}"\?\[2Ja b"\]\}\}\}\}$/);
  expect(caret).toBe(`${" ".repeat(62)}^`);
});

test("the running core uses a policy applied on its directory within 6 s, and reports over the network", async () => {
  const { core, ways, fileOf } = await bench();
  const offline = ways["on the data directory"];
  const added = await offline(["services", "credential", "add", "orders", "--json"]);
  const { credential } = (JSON.parse(added.stdout) as { credential: { credential: string } }).credential;
  const status = async (audience: string) => {
    const response = await fetch(`${core.url}/recipe/jwt`, {
      method: "POST",
      headers: { "api-key": credential, "cdi-version": "5.1" },
      body: JSON.stringify({ payload: {}, algorithm: "RS256", jwksDomain: "https://a.test", validity: 60, audience }),
    });
    return response.status;
  };
  const until = async (wanted: number, audience: string) => {
    const began = performance.now();
    while ((await status(audience)) !== wanted) {
      if (performance.now() - began > 6_000) throw new Error("not seen within 6 s");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await until(403, "inventory"); // the core knows the credential
  expect((await offline(["policy", "apply", await fileOf(POLICY), "--yes"])).code).toBe(0);
  await until(200, "inventory");
  const reporting = await fileOf("services: { orders: {}, inventory: { reportOnly: true } }");
  expect((await offline(["policy", "apply", reporting, "--yes"])).code).toBe(0);
  await expect
    .poll(async () => (await status("inventory")) && (await ways["over the network"](["policy", "report"])).stdout, {
      timeout: 10_000,
    })
    .toMatch(/\norders +inventory +- +\d+ +\S+ \S+Z +\S+ \S+Z\n$/);
});
