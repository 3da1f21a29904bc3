// The command as an operator uses it: on a data directory while the core runs, and over the network.
import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { createCountersign } from "countersign";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

const API_KEY = "test-api-key-of-24-chars";
const ADMIN_KEY = "test-admin-key-of-26-chars";

/** A running core, and the two ways to administer it. */
async function bench() {
  const dataDir = await temporaryDirectory();
  const core = await startCore(dataDir, ["--api-key", API_KEY, "--admin-key", ADMIN_KEY]);
  const service = createCountersign({
    appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
    core: { connectionURI: core.url, apiKey: API_KEY },
  });
  return {
    dataDir,
    core,
    async mint() {
      const answer = await service.createJWT({ source: "microservice", service: "orders" }, 3600);
      if (answer.status !== "OK") throw new Error(answer.status);
      return answer.jwt;
    },
    ways: {
      "over the network": (command: string[]) =>
        runCommand([...command, "--url", core.url], { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY }),
      "on the data directory": (command: string[]) => runCommand([...command, "--data-dir", dataDir]),
    },
    publishedKids: async (name = "jwks-all.json") => {
      const document = (await (await fetch(`${core.url}/.well-known/${name}`)).json()) as { keys: { kid: string }[] };
      return document.keys.map((key) => key.kid);
    },
    feed: async () => {
      const jws = await (await fetch(`${core.url}/.well-known/revocations`)).text();
      return JSON.parse(Buffer.from(jws.split(".")[1]!, "base64url").toString()) as Record<
        "tokens" | "services" | "kids",
        unknown[]
      >;
    },
  };
}

/** The running core sees a change on the data directory within about a second. */
async function until(what: () => Promise<boolean>): Promise<number> {
  const began = performance.now();
  while (!(await what())) {
    if (performance.now() - began > 6_000) throw new Error("not seen within 6 s");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now() - began;
}

describe.each(["over the network", "on the data directory"] as const)("%s", (way) => {
  test("keys are listed, rotated, imported, exported and revoked", async () => {
    const { ways, publishedKids, dataDir } = await bench();
    const command = ways[way];
    const listed = await command(["keys", "list"]);
    expect([listed.code, listed.stderr]).toEqual([0, ""]);
    expect(listed.stdout).toMatch(
      /^kid +kind +algorithm +state +signs from +signs until +verifies until\ns-\S+ +static +RS256 +active /,
    );

    const rotated = await command(["keys", "rotate", "--json"]);
    const { keys } = JSON.parse(rotated.stdout) as { keys: { kid: string; kind: string; state: string }[] };
    const prepared = keys.find((key) => key.kind === "static" && key.state === "prepared")!;
    await until(async () => (await publishedKids()).includes(prepared.kid));

    const file = join(dataDir, "old.pem");
    await writeFile(
      file,
      generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "pem", type: "pkcs8" }),
    );
    expect((await command(["keys", "import", file, "--kid", "s-of-the-old-core"])).code).toBe(0);
    await until(async () => (await publishedKids()).includes("s-of-the-old-core"));

    const out = join(dataDir, "public.json");
    expect((await command(["keys", "export-public", "--out", out])).code).toBe(0);
    const exported = (JSON.parse(await readFile(out, "utf8")) as { keys: Record<string, unknown>[] }).keys;
    expect(new Set(exported.map((key) => key["kid"]))).toEqual(new Set(await publishedKids()));
    expect(exported.some((key) => "d" in key)).toBe(false);

    const asked = await command(["keys", "revoke", "s-of-the-old-core"]);
    expect([asked.code, asked.stderr]).toEqual([
      1,
      expect.stringMatching(/invalidates every token it signed[\s\S]*pass --yes/),
    ]);
    expect(await publishedKids()).toContain("s-of-the-old-core");
    expect((await command(["keys", "revoke", "s-of-the-old-core", "--yes"])).code).toBe(0);
    await until(async () => !(await publishedKids()).includes("s-of-the-old-core"));
  });

  test("a token, a service and a key are revoked, and the running core's feed lists them", async () => {
    const { ways, mint, feed, publishedKids } = await bench();
    const command = ways[way];
    const token = await mint();
    const jti = (JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString()) as { jti: string }).jti;
    const revoked = await command(["revoke", "token", token, "--yes"]);
    expect([revoked.code, revoked.stdout]).toEqual([
      0,
      expect.stringContaining(`revoked ${jti}; stays in the revocation feed until`),
    ]);
    await until(async () => JSON.stringify((await feed()).tokens).includes(jti));

    expect((await command(["revoke", "service", "orders", "--yes"])).stdout).toContain(
      "revoked all tokens issued to orders until",
    );
    await until(async () => JSON.stringify((await feed()).services).includes("orders"));

    const preparedKid = await vi.waitFor(async () => {
      const { keys } = JSON.parse((await command(["keys", "list", "--json"])).stdout) as {
        keys: { kid: string; state: string }[];
      };
      return keys.find((key) => key.state === "prepared")!.kid;
    });
    const prepared = await command(["revoke", "key", preparedKid, "--yes"]);
    expect(prepared.stderr).toMatch(/invalidates every token it signed: none, because it has not signed yet\.$/m);

    const kid = (await publishedKids("jwks.json"))[0]!;
    const warned = await command(["revoke", "key", kid, "--yes"]);
    expect(warned.stderr).toMatch(
      way === "over the network"
        ? /at least 1 unexpired, counting those this core has signed/
        : /their number is unknown/,
    );
    await until(async () => (await feed()).kids.includes(kid));
    expect(await publishedKids()).not.toContain(kid);
  });

  test("apps are listed, and their signing algorithms can be set", async () => {
    const { ways, publishedKids } = await bench();
    const command = ways[way];
    const before = (await publishedKids()).length;
    expect((await command(["apps", "algorithms", "RS256", "ES256"])).stdout).toBe("public signs with RS256, ES256\n");
    expect((await command(["apps", "list"])).stdout).toMatch(/public +RS256 ES256/);
    await until(async () => (await publishedKids()).length > before);
    const refused = await command(["apps", "algorithms", "HS256"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/^countersign: algorithms/)]);
  });

  test("a missing object is an error with exit code 1 and no stack trace", async () => {
    const { ways } = await bench();
    const cases: [string[], RegExp][] = [
      [["keys", "list", "--app", "ghost"], /app not found/],
      [["keys", "revoke", "s-ghost", "--yes"], /key "s-ghost" not found/],
      [["keys", "import", "/nowhere.pem", "--kid", "s-1"], /cannot read \/nowhere\.pem/],
      [["keys", "rotate", "--algorithm", "Ed25519"], /does not sign with Ed25519/],
      [["keys", "rotate", "--keep-until", "soon", "--yes"], /--keep-until: expected a date .*, got "soon"/],
      [["revoke", "token", "nonsense", "--yes"], /token: expected a JWT/],
      [["revoke", "token", "--yes"], /expected either a token or --jti/],
    ];
    for (const [command, words] of cases) {
      const { code, stderr } = await ways[way](command);
      expect([command, code, stderr]).toEqual([command, 1, expect.stringMatching(words)]);
      expect(stderr).not.toMatch(/\n\s+at /);
    }
  });
});

test("R17 a shell without the core's settings uses the core's rotation times, and reading changes nothing", async () => {
  const dataDir = await temporaryDirectory();
  const rotation = { lead: 60, period: 300, hold: 300, jwksMaxAge: 10, instanceRefresh: 2, clockSkew: 5 };
  const core = await startCore(dataDir, ["--admin-key", ADMIN_KEY], {
    COUNTERSIGN_ROTATION: JSON.stringify(rotation),
  });
  const status = async () => {
    const response = await fetch(`${core.url}/admin/v1/status`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
    return ((await response.json()) as { epoch: number }).epoch;
  };
  const published = async () =>
    ((await (await fetch(`${core.url}/.well-known/jwks.json`)).json()) as { keys: unknown[] }).keys.length;
  await until(async () => (await published()) === 3);
  const epoch = await status();
  for (const command of [
    ["keys", "list"],
    ["apps", "list"],
    ["keys", "export-public"],
  ]) {
    expect(await runCommand([...command, "--data-dir", dataDir])).toMatchObject({ code: 0, stderr: "" });
  }
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // the core polls once a second
  expect(await status()).toBe(epoch);

  const revoked = await runCommand(["revoke", "service", "orders", "--yes", "--data-dir", dataDir], {
    COUNTERSIGN_ROTATION: "nonsense",
  });
  expect([revoked.code, revoked.stdout]).toEqual([0, expect.stringContaining("revoked all tokens issued to orders")]);
  const rotated = await runCommand(["keys", "rotate", "--json", "--data-dir", dataDir]);
  type Dated = { kind: string; state: string; createdAt: string; signsFrom: string };
  const { keys } = JSON.parse(rotated.stdout) as { keys: Dated[] };
  const prepared = keys.find((key) => key.kind === "static" && key.state === "prepared")!;
  expect(Date.parse(prepared.signsFrom) - Date.parse(prepared.createdAt)).toBe(60_000);
});

test("an admin key that would go over plain HTTP to another machine causes a warning", async () => {
  const env = { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY };
  const warning = /^countersign: warning: sending the admin key to core\.invalid over plain HTTP; use https$/m;
  expect((await runCommand(["keys", "list", "--url", "http://core.invalid"], env)).stderr).toMatch(warning);
  expect((await runCommand(["keys", "list", "--url", "https://core.invalid"], env)).stderr).not.toMatch(/plain HTTP/);
  expect((await runCommand(["keys", "list", "--url", "http://127.0.0.1:1"], env)).stderr).not.toMatch(/plain HTTP/);
});

test("an invalid target is an error", async () => {
  const directory = await temporaryDirectory();
  const cases: [string[], NodeJS.ProcessEnv, RegExp][] = [
    [["--data-dir", directory], {}, /no database found in/],
    [["--url", "http://127.0.0.1:1"], { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY }, /cannot reach/],
    [["--url", "http://127.0.0.1:1"], {}, /COUNTERSIGN_ADMIN_KEY is not set/],
    [["--url", "nonsense"], { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY }, /--url: expected an http or https URL/],
    [["--url", "http://127.0.0.1:1", "--data-dir", directory], {}, /cannot be used together/],
  ];
  for (const [flags, env, words] of cases) {
    const { code, stderr } = await runCommand(["keys", "list", ...flags], env);
    expect([flags, code, stderr]).toEqual([flags, 1, expect.stringMatching(words)]);
  }
});

test("the core rejects a wrong admin key", async () => {
  const { core } = await bench();
  const { code, stderr } = await runCommand(["keys", "list", "--url", core.url], { COUNTERSIGN_ADMIN_KEY: API_KEY });
  expect([code, stderr]).toEqual([1, expect.stringMatching(/admin key/)]);
});
