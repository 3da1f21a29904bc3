// The path of a revocation: a command, a core, a service's front interface, and verifiers that use only the front.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { buildCountersign } from "../../packages/sdk/src/instance/countersign.ts";
import { middleware } from "../../packages/sdk/src/framework/express.ts";
import jwt from "../../packages/sdk/src/recipe-jwt.ts";
import { COUNTERSIGN_BIN, Process, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

const ADMIN_KEY = "admin-key-of-the-tests-01";
const PROMISE = 75; // seconds

test("R17 a revoked token, service or key is rejected within 75 s of the command, by polling alone, also through a front", async () => {
  const core = await startCoreProcess(await temporaryDirectory(), [], { COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY });
  let passed = 0;
  const clock = { now: () => Date.now() + passed, monotonic: () => performance.now() + passed };

  // orders uses the core, and serves its public documents under its own domain.
  const server = createServer((req, res) =>
    middleware({ countersign: orders })(req, res, () => res.writeHead(404).end()),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const apiDomain = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const appInfo = { appName: "orders", apiDomain, apiBasePath: "/" };
  const { countersign: orders } = buildCountersign(
    { appInfo, core: { connectionURI: core.url }, recipeList: [jwt.init()] },
    { clock },
  );
  const { countersign: inventory } = buildCountersign({ appInfo }, { clock });
  onTestFinished(async () => void (await Promise.all([orders.close(), inventory.close()])));
  const verifiers = { "with the core": orders.createVerifier(), "behind the front": inventory.createVerifier() };

  const mint = async (sub: string, useStaticSigningKey = true) => {
    const answer = await orders.createJWT({ sub, source: "microservice" }, 3_600, useStaticSigningKey);
    if (answer.status !== "OK") throw new Error(answer.status);
    return answer.jwt;
  };
  const kept = await mint("kept");
  const revoked = { token: await mint("a"), service: await mint("b"), key: await mint("c", false) };
  const outcomes = async (token: string) => {
    const decisions = await Promise.all(Object.values(verifiers).map((verifier) => verifier.verify(token)));
    return decisions.map((decision) => (decision.allowed ? "allowed" : decision.reason));
  };
  for (const token of [kept, ...Object.values(revoked)]) expect(await outcomes(token)).toEqual(["allowed", "allowed"]);

  const { kid } = JSON.parse(Buffer.from(revoked.key.split(".")[0]!, "base64url").toString()) as { kid: string };
  for (const what of [
    ["token", revoked.token],
    ["service", "b"],
    ["key", kid],
  ]) {
    const env = { COUNTERSIGN_ADMIN_KEY: ADMIN_KEY };
    const { code, stderr } = await new Process([COUNTERSIGN_BIN, "revoke", ...what, "--yes", "--url", core.url], env)
      .ended;
    expect([code, stderr]).toEqual([0, expect.not.stringContaining("countersign:")]);
  }

  const refusedAfter: Record<string, number> = {};
  for (let second = 0; second <= PROMISE && Object.keys(refusedAfter).length < 6; second++) {
    for (const [what, token] of Object.entries(revoked)) {
      const seen = await outcomes(token);
      for (const [i, where] of Object.keys(verifiers).entries()) {
        if (seen[i] !== "allowed") refusedAfter[`${what} ${where}`] ??= second;
      }
    }
    passed += 1_000;
    await new Promise((resolve) => setTimeout(resolve, 20)); // for requests in flight
  }
  process.stderr.write(`note: R17 seconds until refused: ${JSON.stringify(refusedAfter)}\n`);
  expect(Object.keys(refusedAfter)).toHaveLength(6);
  expect(Math.max(...Object.values(refusedAfter))).toBeLessThanOrEqual(PROMISE);
  expect(await outcomes(kept)).toEqual(["allowed", "allowed"]);
}, 60_000);
