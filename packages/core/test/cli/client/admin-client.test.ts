import { createServer, type AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { AdminError, remoteClient } from "../../../src/cli/client/admin-client.ts";
import { TestProcess } from "../../support/cli.ts";
import { ADMIN_KEY } from "../../support/core.ts";

const newProcess = () => new TestProcess({ COUNTERSIGN_ADMIN_KEY: ADMIN_KEY });

it("times out without claiming that nothing was done", async () => {
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  onTestFinished(() => void silent.close());
  await new Promise((resolve) => silent.once("listening", resolve));
  const client = remoteClient(newProcess(), `http://127.0.0.1:${(silent.address() as AddressInfo).port}`, 300);
  const asking = client.call("POST", "/reseal");
  await expect(asking).rejects.toThrow(AdminError);
  await expect(asking).rejects.toThrow(/^no response from \S+ within 0\.3 s; the operation might have completed/);
});

it("warns before an admin key goes over a network as plain text (S6)", () => {
  const cli = newProcess();
  for (const url of ["https://core.internal", "http://127.0.0.1:3567", "http://[::1]:3567", "http://localhost"]) {
    remoteClient(cli, url);
  }
  expect(cli.stderr.text).toBe("");
  remoteClient(cli, "http://core.internal:3567");
  expect(cli.stderr.text).toMatch(/sending the admin key to core\.internal over plain HTTP/);
});

it.each(["localhost:4610", "core.internal:3567", "ftp://core.internal", "http:core", "//core", "", "http://"])(
  "rejects a --url of %j for its scheme, before a warning about the admin key (S6)",
  (url) => {
    const cli = newProcess();
    expect(() => remoteClient(cli, url)).toThrow(
      `--url: expected an http or https URL such as http://localhost:3567, got "${url}"`,
    );
    expect(cli.stderr.text).toBe("");
  },
);
