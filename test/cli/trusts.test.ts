// Services that start without a secret. An operator sets this up on a running core's directory or over the network.
import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, SignJWT } from "jose";
import { expect, test } from "vitest";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

const ADMIN_KEY = "test-admin-key-of-26-chars";
const TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ISSUER = "https://kubernetes.default.svc";

test.each(["over the network", "on the data directory"] as const)(
  "%s: a workload is trusted by its platform's keys, a service by its own, and neither any more",
  async (way) => {
    const dataDir = await temporaryDirectory();
    const core = await startCore(dataDir, ["--admin-key", ADMIN_KEY]);
    const services = async (...command: string[]) => {
      const target = way === "over the network" ? ["--url", core.url] : ["--data-dir", dataDir];
      const env = way === "over the network" ? { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY } : {};
      const { code, stdout, stderr } = await runCommand(["services", ...command, ...target], env);
      return { code, stdout, stderr };
    };
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const jwks = join(dataDir, "jwks.json");
    await writeFile(jwks, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: "k" }] }));
    const ask = async (iss: string, sub: string, aud: string) => {
      const assertion = await new SignJWT({ iss, sub, aud, jti: crypto.randomUUID() })
        .setProtectedHeader({ alg: "ES256", kid: "k" })
        .setExpirationTime("1m")
        .sign(privateKey);
      const form = { grant_type: "client_credentials", client_assertion: assertion, client_assertion_type: TYPE };
      return (await fetch(`${core.url}/oauth/token`, { method: "POST", body: new URLSearchParams(form) })).status;
    };
    const workload = () => ask(ISSUER, "system:serviceaccount:shop:orders", "countersign");
    const itself = () => ask("orders", "orders", core.url);
    const within = { timeout: 6_000 }; // a change on the data directory is visible within about a second

    expect((await services("register", "orders")).code).toBe(0);
    const facts = ["--issuer", ISSUER, "--audience", "countersign", "--jwks", jwks];
    const wide = await services("trust", "orders", ...facts, "--subject", "system:serviceaccount:*:orders");
    expect(wide).toMatchObject({ code: 1, stderr: expect.stringMatching(/can have one '\*', at its end/) });
    const trust = await services("trust", "orders", ...facts, "--subject", "system:serviceaccount:shop:*");
    expect(trust).toMatchObject({ code: 0, stdout: expect.stringMatching(/^trusted identity [0-9a-f]{12}: /) });
    await expect.poll(workload, within).toBe(200);
    const listed = await services("trusts");
    expect(listed.stdout).toContain("system:serviceaccount:shop:*");
    const [id] = /[0-9a-f]{12}/.exec(listed.stdout)!;
    expect((await services("untrust", id)).stderr).toContain("--yes");
    expect((await services("untrust", id, "--yes")).stdout).toBe(`removed trusted identity ${id}\n`);
    await expect.poll(workload, within).not.toBe(200); // so many requests are also throttled

    const noFile = await services("keys", "orders", "--set", join(dataDir, "missing.json"));
    expect(noFile).toMatchObject({ code: 1, stderr: expect.stringContaining("expected a file with a JWK Set") });
    expect((await services("keys", "orders", "--set", jwks)).stdout).toMatch(/^kid +algorithm +since\nk +ES256 +\d{4}/);
    expect((await services("keys", "orders", "--json")).stdout).toContain('"kid": "k"');
    await expect.poll(itself, within).toBe(200);
  },
);

test("the public URL is the issuer, and an invalid one is rejected at the start", async () => {
  const start = (url: string) => runCommand(["start", "--port", "0", "--data-dir", "unused", "--public-url", url]);
  for (const url of [
    "auth.example.com",
    "ftp://auth.example.com",
    "https://Auth.example.com",
    "https://a.test/?x",
    "https://u@a.test",
  ]) {
    const { code, stderr } = await start(url);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining("--public-url: expected an http or https URL such as https://auth.example.com"),
    ]);
  }
  const core = await startCore(await temporaryDirectory(), ["--public-url", "https://auth.example.com/core/"]);
  const answer = await fetch(`${core.url}/.well-known/oauth-authorization-server`);
  expect(await answer.json()).toMatchObject({ issuer: "https://auth.example.com/core" });
});
