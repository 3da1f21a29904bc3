// The SDK from a CommonJS file, in its own process.
import { expect, onTestFinished, test } from "vitest";
import { startCore } from "countersign-core";
import { Process, temporaryDirectory } from "../support/processes.ts";

test("a CommonJS service gets a token and verifies it, over HTTP and with an embedded core", async () => {
  const core = await startCore({ port: 0, dataDir: await temporaryDirectory() });
  onTestFinished(() => core.close());
  for (const connectionURI of [core.url, `file:${await temporaryDirectory()}`]) {
    const { code, stdout, stderr } = await new Process(["test/support/service.cjs"], { CONNECTION_URI: connectionURI })
      .ended;
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual({
      sameInstanceFromEsm: true,
      decision: { allowed: true, service: "orders" },
      jwks: ["RSA"],
      wrongOrder: "Initialisation not done. Did you forget to call the Jwt.init function?",
    });
    expect(code).toBe(0);
  }
});
