// Services as an operator and a service use them: the command, and a credential instead of an API key.
import { createCountersign, createVerifier } from "countersign";
import { describe, expect, onTestFinished, test } from "vitest";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

const API_KEY = "test-api-key-of-24-chars";
const ADMIN_KEY = "test-admin-key-of-26-chars";

async function started() {
  const dataDir = await temporaryDirectory();
  const core = await startCore(dataDir, ["--api-key", API_KEY, "--admin-key", ADMIN_KEY]);
  return {
    core,
    ways: {
      "over the network": (command: string[]) =>
        runCommand(["services", ...command, "--url", core.url], { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY }),
      "on the data directory": (command: string[]) => runCommand(["services", ...command, "--data-dir", dataDir]),
    },
    /** Reports whether a credential is valid. Invalid ones are rejected, and throttled after ten failures a minute. */
    isGood: async (credential: string) => {
      const { status } = await fetch(`${core.url}/apiversion`, { headers: { "api-key": credential } });
      expect([200, 401, 429]).toContain(status);
      return status === 200;
    },
  };
}

/** The running core sees a change on the data directory within about a second. */
async function until(what: () => Promise<boolean>): Promise<void> {
  await expect.poll(what, { timeout: 6_000, interval: 50 }).toBe(true);
}

describe.each(["over the network", "on the data directory"] as const)("%s", (way) => {
  test("a service is registered, gets credentials, changes them without downtime, and is deleted", async () => {
    const { core, ways, isGood } = await started();
    const command = ways[way];
    const registered = await command(["register", "orders"]);
    expect(registered).toMatchObject({ code: 0, stderr: "" });
    expect(registered.stdout).toBe(
      "registered orders; create a credential with 'countersign services credential add orders'\n",
    );

    const add = async (...flags: string[]) => {
      const added = await command(["credential", "add", "orders", ...flags]);
      expect(added.stdout).toMatch(/^cs_orders_[A-Za-z0-9_-]{43}\n$/);
      expect(added.stderr).toMatch(
        /^credential [0-9a-f]{12} of orders, valid until .*, accepted by every running core within 6 s; it is not shown again\n$/,
      );
      return { credential: added.stdout.trim(), id: added.stderr.split(" ")[1]!, stderr: added.stderr };
    };
    const old = await add("--expires-at", "2099-01-31");
    expect(old.stderr).toContain("valid until 2099-01-31 00:00:00Z,");
    const young = await add();
    expect(young.stderr).toContain("valid until revoked,");
    await until(async () => (await isGood(old.credential)) && (await isGood(young.credential)));

    const shown = await command(["show", "orders"]);
    expect(shown.stdout).toMatch(
      /^service +state +credentials +registered +disabled\norders +enabled +2 +\S+ \S+ +-\n/,
    );
    expect(shown.stdout).toMatch(new RegExp(`^${old.id} +active +\\S+ \\S+ +2099-01-31 00:00:00Z`, "m"));
    expect(shown.stdout).not.toContain(old.credential);

    const asked = await command(["credential", "revoke", "orders", old.id]);
    expect([asked.code, asked.stderr]).toEqual([1, expect.stringMatching(/This revokes credential [\s\S]*pass --yes/)]);
    expect(await isGood(old.credential)).toBe(true);
    const revoked = await command(["credential", "revoke", "orders", old.id, "--yes"]);
    expect(revoked.stdout).toBe(`revoked credential ${old.id} of orders\n`);
    await until(async () => !(await isGood(old.credential)));
    expect(await isGood(young.credential)).toBe(true);

    expect((await command(["disable", "orders"])).code).toBe(1);
    const disabled = await command(["disable", "orders", "--yes"]);
    expect(disabled.stdout).toBe("disabled orders\n");
    expect(disabled.stderr).toMatch(/^This rejects every credential of orders\. .*'countersign revoke service orders'/);
    await until(async () => !(await isGood(young.credential)));
    expect((await command(["list"])).stdout).toMatch(/^orders +disabled +1 /m);
    expect((await command(["enable", "orders"])).stdout).toBe("enabled orders\n");
    await until(() => isGood(young.credential));

    expect((await command(["delete", "orders", "--yes"])).stdout).toBe("deleted orders\n");
    await until(async () => !(await isGood(young.credential)));
    expect(JSON.parse((await command(["list", "--json"])).stdout)).toEqual({ services: [] });
    const output = core.stdout + core.stderr;
    for (const { credential } of [old, young]) expect(output).not.toContain(credential.slice(-43)); // S6
  });

  test("a missing object or an invalid value is an error with exit code 1 and no stack trace", async () => {
    const { ways } = await started();
    const cases: [string[], RegExp][] = [
      [["register", "Orders"], /^countersign: a service name has 1 to 63 characters/],
      [["register", "orders", "--app", "ghost"], /app not found/],
      [["show", "ghost"], /^countersign: service not found$/m],
      [["show", "../keys"], /service not found/],
      [["disable", "ghost", "--yes"], /service not found/],
      [["delete", "ghost", "--yes"], /service not found/],
      [["credential", "add", "ghost"], /service not found/],
      [["credential", "add", "ghost", "--expires-at", "soon"], /--expires-at: expected a date .*, got "soon"/],
      [["credential", "revoke", "ghost", "0", "--yes"], /service not found/],
      [
        ["credential", "revoke", "orders", "abc", "--yes"],
        /^countersign: credential "[^"]*" of orders not found; .*show orders/,
      ],
      [["register"], /^error: missing required argument 'name'\nRun with --help for usage\.\n$/],
      [["credential", "add"], /missing required argument[^]*--help/],
    ];
    expect((await ways[way](["register", "orders"])).code).toBe(0);
    for (const [command, words] of cases) {
      const { code, stderr } = await ways[way](command);
      expect([command, code, stderr]).toEqual([command, 1, expect.stringMatching(words)]);
      expect(stderr).not.toMatch(/\n\s+at |from now on|for good/); // nor the consequences for an existing one
    }
  });
});

test("the SDK accepts a credential instead of an API key, and its tokens name the service", async () => {
  const { core, ways } = await started();
  const command = ways["over the network"];
  await command(["register", "orders"]);
  const apiKey = (await command(["credential", "add", "orders"])).stdout.trim();
  const orders = createCountersign({
    appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
    core: { connectionURI: core.url, apiKey },
  });
  const warnings: string[] = [];
  const remember = ({ message }: Error) => void warnings.push(message);
  process.on("warning", remember);
  onTestFinished(() => void process.off("warning", remember));
  const answer = await orders.createJWT({ source: "microservice", region: "eu" });
  await new Promise((resolve) => setImmediate(resolve)); // warnings are emitted later
  // R16: of the default hundred years an hour remains, and the cause is not the key.
  expect(warnings).toEqual([
    expect.stringMatching(/^createJWT requested .*, but a service credential gets tokens for at most one hour, /),
  ]);
  if (answer.status !== "OK") throw new Error(answer.status);
  const verifier = createVerifier({ jwksUri: `${core.url}/.well-known/jwks.json` });
  onTestFinished(() => verifier.close());
  const decision = await verifier.verify(answer.jwt);
  expect(decision).toMatchObject({ allowed: true, caller: { service: "orders", claims: { region: "eu" } } });

  const other = orders.createJWT({ sub: "billing" });
  await expect(other).rejects.toThrow(/403.*payload: the core sets claim 'sub' of a service token/);
  expect((await orders.getJWKS()).keys.length).toBeGreaterThan(0);
});
